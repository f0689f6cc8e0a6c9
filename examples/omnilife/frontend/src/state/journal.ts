/**
 * The habits and their check-ins as this page knows them. Pure: what was done and what came back go in,
 * the next state comes out. A check-in shows at once and is taken back when the backend refuses it.
 */
import type { Entry, Habit, Id } from '../api/types';
import type { Day } from '../lib/days';

export type Tracked = Habit & { entries: readonly Entry[] };

export type Journal =
  | { status: 'loading' }
  | { status: 'failed'; message: string }
  | { status: 'ready'; habits: readonly Tracked[] };

export type Change =
  | { type: 'loading' }
  | { type: 'failed'; message: string }
  | { type: 'loaded'; habits: readonly Tracked[] }
  | { type: 'put'; habit: Habit }
  | { type: 'removed'; id: Id }
  | { type: 'checked'; entry: Entry; today: Day }
  | { type: 'unchecked'; id: Id; day: Day; today: Day };

export function journal(state: Journal, change: Change): Journal {
  switch (change.type) {
    case 'loading':
      return { status: 'loading' };
    case 'failed':
      return { status: 'failed', message: change.message };
    case 'loaded':
      return { status: 'ready', habits: change.habits };
    case 'put':
      return put(state, change.habit);
    case 'removed':
      return each(state, (habit) => (habit.id === change.id ? null : habit));
    case 'checked':
      return each(state, (habit) => (habit.id === change.entry.habit_id ? checked(habit, change.entry, change.today) : habit));
    case 'unchecked':
      return each(state, (habit) => (habit.id === change.id ? unchecked(habit, change.day, change.today) : habit));
  }
}

export function entryOf(habit: Tracked, day: Day): Entry | undefined {
  return habit.entries.find((entry) => entry.day === day);
}

export function daysOf(habit: Tracked): Set<Day> {
  return new Set(habit.entries.map(({ day }) => day));
}

export function isDone(habit: Tracked, day: Day): boolean {
  return entryOf(habit, day) !== undefined;
}

function each(state: Journal, next: (habit: Tracked) => Tracked | null): Journal {
  if (state.status !== 'ready') return state;
  return { status: 'ready', habits: state.habits.map(next).filter((habit) => habit !== null) };
}

function put(state: Journal, habit: Habit): Journal {
  if (state.status !== 'ready') return state;
  if (!state.habits.some(({ id }) => id === habit.id)) {
    return { status: 'ready', habits: [...state.habits, { ...habit, entries: [] }] };
  }
  return each(state, (known) => (known.id === habit.id ? { ...known, ...habit } : known));
}

function checked(habit: Tracked, entry: Entry, today: Day): Tracked {
  const isToday = entry.day === today;
  const others = habit.entries.filter(({ day }) => day !== entry.day);
  return { ...counted(habit, [...others, entry], isToday), done_today: isToday || habit.done_today };
}

function unchecked(habit: Tracked, day: Day, today: Day): Tracked {
  const isToday = day === today;
  const others = habit.entries.filter((entry) => entry.day !== day);
  return { ...counted(habit, others, isToday), done_today: !isToday && habit.done_today };
}

/** The figures until the backend's own come: a streak changes by today, what an older day does to it only the backend knows. */
function counted(habit: Tracked, entries: readonly Entry[], isToday: boolean): Tracked {
  const change = entries.length - habit.entries.length;
  const streak = isToday ? habit.streak + change : habit.streak;
  return { ...habit, entries, streak, entries_count: habit.entries_count + change };
}
