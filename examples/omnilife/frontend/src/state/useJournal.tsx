/** Gives the pages the journal and all that can be done with it. */
import { createContext, useCallback, useContext, useEffect, useMemo, useReducer, useRef, useState } from 'react';
import type { ReactNode } from 'react';
import { ApiError, messageOf } from '../api/client';
import type { Entry, Habit, HabitDraft, Id } from '../api/types';
import { longDay, spokenDay, today, weeks } from '../lib/days';
import type { Day } from '../lib/days';
import { entryOf, journal } from './journal';
import type { Journal, Tracked } from './journal';
import { useSession } from './session';
import { useToast } from './toasts';

/** How many days the pages show at least. */
export const SHOWN_DAYS = 30;

interface JournalValue {
  journal: Journal;
  /** Today, as this page has it: it turns to the next day when somebody looks at the page again. */
  now: Day;
  reload: () => Promise<void>;
  add: (draft: HabitDraft) => Promise<Habit>;
  change: (id: Id, draft: HabitDraft) => Promise<void>;
  remove: (id: Id) => Promise<void>;
  /** Checks in, or takes the check-in back. Never fails: it says itself what went wrong. */
  toggle: (habit: Tracked, day: Day) => Promise<void>;
  note: (habit: Tracked, day: Day, text: string) => Promise<void>;
}

const JournalContext = createContext<JournalValue | null>(null);

export function JournalProvider({ children }: { children: ReactNode }) {
  const { client } = useSession();
  const toast = useToast();
  const [state, dispatch] = useReducer(journal, { status: 'loading' });
  const underWay = useRef(new Set<string>());

  const [now, setNow] = useState(today);
  useEffect(() => {
    const onLook = () => setNow(today());
    document.addEventListener('visibilitychange', onLook);
    return () => document.removeEventListener('visibilitychange', onLook);
  }, []);

  const reload = useCallback(async () => {
    dispatch({ type: 'loading' });
    try {
      const from = weeks(SHOWN_DAYS, now)[0] ?? now;
      const habits = await client.habits();
      const entries = await Promise.all(habits.map(({ id }) => client.entries(id, from)));
      dispatch({ type: 'loaded', habits: habits.map((habit, index) => ({ ...habit, entries: entries[index] ?? [] })) });
    } catch (error) {
      dispatch({ type: 'failed', message: messageOf(error) });
    }
  }, [client, now]);
  useEffect(() => void reload(), [reload]);

  const refresh = useCallback(
    // The check-in stands; only its figures could not be asked for. The next one brings them.
    async (id: Id) => client.habit(id).then((habit) => dispatch({ type: 'put', habit }), () => undefined),
    [client],
  );

  const actions = useMemo<Omit<JournalValue, 'journal' | 'now'>>(() => {
    async function checkIn(habit: Tracked, day: Day, note: string) {
      const before = entryOf(habit, day);
      dispatch({ type: 'checked', entry: before ?? { id: 0, habit_id: habit.id, day, note }, today: today() });
      try {
        dispatch({ type: 'checked', entry: await client.addEntry(habit.id, { day, note }), today: today() });
      } catch (error) {
        if (before === undefined) dispatch({ type: 'unchecked', id: habit.id, day, today: today() });
        toast({
          kind: 'error',
          text: `“${habit.name}” was not checked in for ${spokenDay(day, today())}. ${messageOf(error)}`,
          action: { label: 'Try again', run: () => void once(habit, day, () => checkIn(habit, day, note)) },
        });
        return;
      }
      await refresh(habit.id);
    }

    async function takeBack(habit: Tracked, entry: Entry) {
      const { day } = entry;
      dispatch({ type: 'unchecked', id: habit.id, day, today: today() });
      try {
        await client.removeEntry(habit.id, day);
      } catch (error) {
        // Somebody took it back before us, in another window: that is what was wanted.
        if (!(error instanceof ApiError && error.status === 404)) {
          dispatch({ type: 'checked', entry, today: today() });
          toast({ kind: 'error', text: `The check-in of “${habit.name}” is still there. ${messageOf(error)}` });
          return;
        }
      }
      toast({
        kind: 'note',
        text: `“${habit.name}” is no longer checked in for ${spokenDay(day, today())}.`,
        action: { label: 'Undo', run: () => void once(habit, day, () => checkIn({ ...habit, entries: [] }, day, entry.note)) },
      });
      await refresh(habit.id);
    }

    /** One thing at a time for one day of one habit: a second click waits for nothing and does nothing. */
    async function once(habit: Tracked, day: Day, run: () => Promise<void>) {
      const key = `${habit.id} ${day}`;
      if (underWay.current.has(key)) return;
      underWay.current.add(key);
      try {
        await run();
      } finally {
        underWay.current.delete(key);
      }
    }

    return {
      reload,
      async add(draft) {
        const habit = await client.addHabit(draft);
        dispatch({ type: 'put', habit });
        return habit;
      },
      async change(id, draft) {
        dispatch({ type: 'put', habit: await client.changeHabit(id, draft) });
      },
      async remove(id) {
        await client.removeHabit(id);
        dispatch({ type: 'removed', id });
      },
      toggle(habit, day) {
        const entry = entryOf(habit, day);
        return once(habit, day, () => (entry ? takeBack(habit, entry) : checkIn(habit, day, '')));
      },
      async note(habit, day, text) {
        dispatch({ type: 'checked', entry: await client.addEntry(habit.id, { day, note: text }), today: today() });
        toast({ kind: 'note', text: `Your note for ${day === today() ? 'today' : longDay(day)} is kept.` });
        await refresh(habit.id);
      },
    };
  }, [client, refresh, reload, toast]);

  const value = useMemo(() => ({ journal: state, now, ...actions }), [state, now, actions]);
  return <JournalContext.Provider value={value}>{children}</JournalContext.Provider>;
}

export function useJournal(): JournalValue {
  const value = useContext(JournalContext);
  if (value === null) throw new Error('useJournal outside of JournalProvider');
  return value;
}
