/** The page that people come back to: what is there to do today, and what is done. */
import { useState } from 'react';
import type { HabitDraft } from '../api/types';
import { HabitDialog } from '../components/HabitDialog';
import { CheckButton, Ring, Streak, Strip } from '../components/HabitParts';
import { Icon } from '../components/Icon';
import { Page } from '../components/Page';
import { Empty, Failure, Loading } from '../components/States';
import { COLORS } from '../lib/colors';
import { longDay } from '../lib/days';
import { Link } from '../lib/router';
import { isDone } from '../state/journal';
import type { Tracked } from '../state/journal';
import { SHOWN_DAYS, useJournal } from '../state/useJournal';

const IDEAS: readonly HabitDraft[] = [
  { name: 'Read ten pages', description: 'Before the lights go out.', color: COLORS[2].value },
  { name: 'Walk outside', description: 'Twenty minutes, whatever the weather.', color: COLORS[0].value },
  { name: 'Sleep before eleven', description: '', color: COLORS[3].value },
];

export function Today() {
  const { journal, now, add, reload } = useJournal();
  const [draft, setDraft] = useState<Partial<HabitDraft> | null>(null);
  const hasHabits = journal.status === 'ready' && journal.habits.length > 0;
  return (
    <Page
      title="Today"
      heading={longDay(now)}
      beside={hasHabits && (
        <button type="button" className="main" onClick={() => setDraft({})}><Icon name="plus" />New habit</button>
      )}
    >
      {journal.status === 'loading' && <Loading what="your habits" />}
      {journal.status === 'failed' && <Failure message={journal.message} again={() => void reload()} />}
      {journal.status === 'ready' && !hasHabits && <Beginning choose={setDraft} />}
      {journal.status === 'ready' && hasHabits && (
        <>
          <Progress habits={journal.habits} />
          <ul className="habits">
            {journal.habits.map((habit) => <HabitRow key={habit.id} habit={habit} />)}
          </ul>
          <p className="legend">The squares are the last {SHOWN_DAYS} days, today at the end.</p>
        </>
      )}
      {draft && (
        <HabitDialog
          title="New habit"
          save="Add habit"
          draft={draft}
          close={() => setDraft(null)}
          onSave={async (next) => { await add(next); }}
        />
      )}
    </Page>
  );
}

function Progress({ habits }: { habits: readonly Tracked[] }) {
  const { now } = useJournal();
  const total = habits.length;
  const done = habits.filter((habit) => isDone(habit, now)).length;
  return (
    <div className="progress">
      <Ring done={done} total={total} />
      <p role="status">
        <strong>{done} of {total} done</strong>
        <span>{wordsFor(done, total)}</span>
      </p>
    </div>
  );
}

function wordsFor(done: number, total: number): string {
  if (done === total) return 'That was all for today.';
  if (done === 0) return 'A new day: begin with the easy one.';
  return done * 2 >= total ? 'More than half of it is behind you.' : 'A good start.';
}

function HabitRow({ habit }: { habit: Tracked }) {
  return (
    <li className="habit" style={{ '--habit': habit.color }}>
      <CheckButton habit={habit} />
      <div className="what">
        <h2><Link to={`/habits/${habit.id}`}>{habit.name}</Link></h2>
        {habit.description && <p>{habit.description}</p>}
      </div>
      <Strip habit={habit} />
      <Streak count={habit.streak} />
    </li>
  );
}

function Beginning({ choose }: { choose: (draft: Partial<HabitDraft>) => void }) {
  return (
    <Empty title="What would you like to do every day?">
      <p>Begin with one thing that is small enough for your worst day.</p>
      <ul className="ideas">
        {IDEAS.map((idea) => (
          <li key={idea.name} style={{ '--habit': idea.color }}>
            <button type="button" className="idea" onClick={() => choose(idea)}>{idea.name}</button>
          </li>
        ))}
      </ul>
      <button type="button" className="main" onClick={() => choose({})}><Icon name="plus" />New habit</button>
    </Empty>
  );
}
