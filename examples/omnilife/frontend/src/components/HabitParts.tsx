/** The small pictures of a habit: its check, its streak, its last days. */
import type { Tracked } from '../state/journal';
import { daysOf, entryOf, isDone } from '../state/journal';
import { SHOWN_DAYS, useJournal } from '../state/useJournal';
import { lastDays, longDay, plural, shortDay, weeks } from '../lib/days';
import type { Day } from '../lib/days';
import { Icon } from './Icon';

export function CheckButton({ habit }: { habit: Tracked }) {
  const { now, toggle } = useJournal();
  return (
    <button
      type="button"
      className="check"
      aria-pressed={isDone(habit, now)}
      aria-label={`${habit.name}: done today`}
      onClick={() => void toggle(habit, now)}
    >
      <Icon name="check" />
    </button>
  );
}

export function Streak({ count }: { count: number }) {
  return (
    <span className={count > 0 ? 'streak' : 'streak none'} title="Days in a row">
      <Icon name="flame" />
      <span className="hidden">Streak: </span>
      {plural(count, 'day')}
    </span>
  );
}

/** The last thirty days in one row, oldest first. */
export function Strip({ habit }: { habit: Tracked }) {
  const { now } = useJournal();
  const done = daysOf(habit);
  const days = lastDays(SHOWN_DAYS, now);
  const count = days.filter((day) => done.has(day)).length;
  return (
    <div className="strip" role="img" aria-label={`Done on ${count} of the last ${SHOWN_DAYS} days`}>
      {days.map((day) => <i key={day} className={done.has(day) ? 'done' : ''} title={shortDay(day)} />)}
    </div>
  );
}

const WEEKDAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

/** The last weeks as a calendar whose days can be checked in later. */
export function Calendar({ habit }: { habit: Tracked }) {
  const { now, toggle } = useJournal();
  return (
    <div className="calendar">
      <div className="weekdays" aria-hidden="true">
        {WEEKDAYS.map((name) => <span key={name}>{name}</span>)}
      </div>
      <div className="days" role="group" aria-label="Check-ins by day">
        {weeks(SHOWN_DAYS, now).map((day) => (
          <CalendarDay key={day} habit={habit} day={day} now={now} toggle={() => void toggle(habit, day)} />
        ))}
      </div>
    </div>
  );
}

function CalendarDay({ habit, day, now, toggle }: { habit: Tracked; day: Day; now: Day; toggle: () => void }) {
  const entry = entryOf(habit, day);
  const number = Number(day.slice(8));
  if (day > now) return <span className="day later" aria-hidden="true">{number}</span>;
  const label = [longDay(day), day === now && 'today', entry?.note && 'with a note'].filter(Boolean).join(', ');
  return (
    <button
      type="button"
      className={['day', day === now && 'now', entry?.note && 'noted'].filter(Boolean).join(' ')}
      aria-label={label}
      aria-pressed={entry !== undefined}
      onClick={toggle}
    >
      {number}
    </button>
  );
}

export function Ring({ done, total }: { done: number; total: number }) {
  return (
    <svg className="ring" viewBox="0 0 40 40" aria-hidden="true" style={{ '--done': total === 0 ? 0 : done / total }}>
      <circle cx="20" cy="20" r="16" />
      <circle cx="20" cy="20" r="16" pathLength={1} className="part" />
    </svg>
  );
}
