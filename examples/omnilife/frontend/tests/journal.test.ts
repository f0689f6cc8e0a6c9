import { journal } from '../src/state/journal';
import type { Journal, Tracked } from '../src/state/journal';

const TODAY = '2026-11-25';
const READ: Tracked = {
  id: 1, name: 'Read', description: '', color: '#2f6feb', created_at: '', streak: 40, done_today: false, entries_count: 50,
  entries: [{ id: 1, habit_id: 1, day: '2026-11-24', note: 'late' }],
};
const WALK: Tracked = { ...READ, id: 2, name: 'Walk', entries: [] };
const READY: Journal = { status: 'ready', habits: [READ, WALK] };

function habit(state: Journal, id: number): Tracked | undefined {
  return state.status === 'ready' ? state.habits.find((known) => known.id === id) : undefined;
}

test('a check-in of today shows at once in every figure, and its undoing is exact', () => {
  const entry = { id: 0, habit_id: 1, day: TODAY, note: '' };
  const checked = journal(READY, { type: 'checked', entry, today: TODAY });
  expect(habit(checked, 1)).toMatchObject({ streak: 41, done_today: true, entries_count: 51 });
  expect(habit(checked, 2)).toBe(WALK);
  expect(journal(checked, { type: 'unchecked', id: 1, day: TODAY, today: TODAY })).toEqual(READY);
});

test('the same check-in twice counts once', () => {
  const change = { type: 'checked', entry: { id: 0, habit_id: 1, day: TODAY, note: '' }, today: TODAY } as const;
  const once = journal(READY, change);
  expect(journal(once, { ...change, entry: { ...change.entry, id: 9 } })).toMatchObject({ habits: [{ streak: 41, entries_count: 51 }, WALK] });
});

test('what an older day does to the streak is left to the backend', () => {
  const next = journal(READY, { type: 'unchecked', id: 1, day: '2026-11-24', today: TODAY });
  expect(habit(next, 1)).toMatchObject({ streak: 40, entries_count: 49, entries: [] });
});

test('a new habit is put last, a known one is changed in its place, entries stay', () => {
  const { entries: _entries, ...plain } = READ;
  const renamed = journal(READY, { type: 'put', habit: { ...plain, name: 'Read more' } });
  expect(renamed).toMatchObject({ habits: [{ name: 'Read more', entries: READ.entries }, { id: 2 }] });
  expect(journal(READY, { type: 'put', habit: { ...plain, id: 3 } })).toMatchObject({ habits: [{ id: 1 }, { id: 2 }, { id: 3, entries: [] }] });
});

test('changes before anything is loaded change nothing', () => {
  const loading: Journal = { status: 'loading' };
  expect(journal(loading, { type: 'put', habit: READ })).toBe(loading);
  expect(journal(loading, { type: 'removed', id: 1 })).toBe(loading);
  expect(journal(READY, { type: 'removed', id: 1 })).toEqual({ status: 'ready', habits: [WALK] });
});
