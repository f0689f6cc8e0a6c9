/** One habit: its weeks, its notes, and what can be changed about it. */
import { useState } from 'react';
import type { Id } from '../api/types';
import { Dialog } from '../components/Dialog';
import { Area } from '../components/Field';
import { HabitDialog } from '../components/HabitDialog';
import { Calendar, CheckButton } from '../components/HabitParts';
import { Icon } from '../components/Icon';
import { Page } from '../components/Page';
import { Empty, Failure, Loading } from '../components/States';
import { textOf, useSubmit } from '../components/useSubmit';
import { lastDays, longDay, plural } from '../lib/days';
import { Link, useNavigation } from '../lib/router';
import { daysOf, entryOf, isDone } from '../state/journal';
import type { Tracked } from '../state/journal';
import { SHOWN_DAYS, useJournal } from '../state/useJournal';

export function HabitPage({ id }: { id: Id }) {
  const { journal, reload } = useJournal();
  if (journal.status === 'loading') return <Page title="Habit"><Loading what="this habit" /></Page>;
  if (journal.status === 'failed') {
    return <Page title="Habit"><Failure message={journal.message} again={() => void reload()} /></Page>;
  }
  const habit = journal.habits.find((known) => known.id === id);
  if (habit === undefined) {
    return (
      <Page title="No such habit">
        <Empty title="This habit is not here">
          <p>It may have been deleted.</p>
          <Link to="/" className="button main">To today</Link>
        </Empty>
      </Page>
    );
  }
  return <Known key={habit.id} habit={habit} />;
}

function Known({ habit }: { habit: Tracked }) {
  const { now, change } = useJournal();
  const [open, setOpen] = useState<'edit' | 'delete' | null>(null);
  const done = isDone(habit, now);
  return (
    <div style={{ '--habit': habit.color }}>
      <nav aria-label="Back" className="back"><Link to="/"><Icon name="back" />Today</Link></nav>
      <Page
        title={habit.name}
        beside={(
          <div className="actions">
            <button type="button" className="quiet" onClick={() => setOpen('edit')}>Edit</button>
            <button type="button" className="quiet" onClick={() => setOpen('delete')}>Delete</button>
          </div>
        )}
      >
        {habit.description && <p className="lead">{habit.description}</p>}
        <div className="columns">
          <section className="card">
            <div className="now-row">
              <CheckButton habit={habit} />
              <p><strong>{done ? 'Done today' : 'Not done yet today'}</strong><span>{longDay(now)}</span></p>
            </div>
            <Figures habit={habit} />
            <NoteForm key={now} habit={habit} />
          </section>
          <section className="card">
            <h2>The last weeks</h2>
            <Calendar habit={habit} />
            <p className="hint">Forgot a day? Tap it. A dot marks a note.</p>
          </section>
        </div>
        <Notes habit={habit} />
      </Page>
      {open === 'edit' && (
        <HabitDialog title="Edit habit" save="Save" draft={habit} close={() => setOpen(null)} onSave={(draft) => change(habit.id, draft)} />
      )}
      {open === 'delete' && <Deletion habit={habit} close={() => setOpen(null)} />}
    </div>
  );
}

function Figures({ habit }: { habit: Tracked }) {
  const { now } = useJournal();
  const done = daysOf(habit);
  const lately = lastDays(SHOWN_DAYS, now).filter((day) => done.has(day)).length;
  return (
    <dl className="figures">
      <div><dt>Streak</dt><dd>{plural(habit.streak, 'day')}</dd></div>
      <div><dt>Last {SHOWN_DAYS} days</dt><dd>{lately} <small>of {SHOWN_DAYS}</small></dd></div>
      <div><dt>In all</dt><dd>{plural(habit.entries_count, 'time')}</dd></div>
    </dl>
  );
}

function NoteForm({ habit }: { habit: Tracked }) {
  const { now, note } = useJournal();
  const known = entryOf(habit, now)?.note ?? '';
  const { busy, problem, fields, onSubmit } = useSubmit((form) => note(habit, now, textOf(form, 'note')));
  return (
    <form onSubmit={onSubmit} className="note-form">
      <Area
        key={known}
        label="A note for today"
        name="note"
        rows={2}
        maxLength={500}
        defaultValue={known}
        error={fields['note']}
        hint={isDone(habit, now) ? undefined : 'Keeping a note checks you in.'}
      />
      {problem && <p className="problem" role="alert">{problem}</p>}
      <button type="submit" className="quiet" disabled={busy}>{busy ? 'Keeping…' : 'Keep note'}</button>
    </form>
  );
}

function Notes({ habit }: { habit: Tracked }) {
  const noted = habit.entries.filter(({ note }) => note !== '').sort((a, b) => b.day.localeCompare(a.day));
  if (noted.length === 0) return null;
  return (
    <section className="card">
      <h2>Notes</h2>
      <ul className="notes">
        {noted.map(({ day, note }) => (
          <li key={day}><time dateTime={day}>{longDay(day)}</time><p>{note}</p></li>
        ))}
      </ul>
    </section>
  );
}

function Deletion({ habit, close }: { habit: Tracked; close: () => void }) {
  const { remove } = useJournal();
  const { navigate } = useNavigation();
  const { busy, problem, onSubmit } = useSubmit(async () => {
    await remove(habit.id);
    navigate('/', { replace: true });
  });
  return (
    <Dialog title={`Delete “${habit.name}”?`} close={close}>
      <form onSubmit={onSubmit}>
        <p>{habit.entries_count === 0 ? 'It has no check-ins.' : `Its ${plural(habit.entries_count, 'check-in')} and their notes go with it.`} This cannot be undone.</p>
        {problem && <p className="problem" role="alert">{problem}</p>}
        <div className="dialog-end">
          <button type="button" className="quiet" onClick={close}>Keep it</button>
          <button type="submit" className="danger" disabled={busy}>{busy ? 'Deleting…' : 'Delete habit'}</button>
        </div>
      </form>
    </Dialog>
  );
}
