/** What the backend says, as its README writes it down. */
import type { Day } from '../lib/days';

export type Id = number;

export interface User {
  id: Id;
  name: string;
  email: string;
}

export interface Session {
  token: string;
  user: User;
}

export interface Habit {
  id: Id;
  name: string;
  description: string;
  color: string;
  created_at: string;
  streak: number;
  done_today: boolean;
  entries_count: number;
}

export type HabitDraft = Pick<Habit, 'name' | 'description' | 'color'>;

export interface Entry {
  id: Id;
  habit_id: Id;
  day: Day;
  note: string;
}

export type EntryDraft = Pick<Entry, 'day' | 'note'>;

export interface Hit {
  kind: 'habit' | 'entry';
  id: Id;
  habit_id: Id;
  /** The day of an entry. */
  day: Day | null;
  title: string;
  snippet: string;
}

export interface Items<T> {
  items: T[];
}
