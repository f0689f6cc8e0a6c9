/**
 * The only place that speaks to the backend. It turns every way to fail into an `ApiError`,
 * whose message a person can read, and never throws anything else (but the `AbortError` that its caller asked for).
 */
import type { Day } from '../lib/days';
import type { Entry, EntryDraft, Habit, HabitDraft, Hit, Id, Items, Session } from './types';

/** As many things as one answer has: a person has no more habits than that, and sees fewer days. */
const PAGE = 100;

export class ApiError extends Error {
  constructor(
    message: string,
    /** The HTTP status; 0 when there was no answer at all. */
    readonly status: number,
    readonly code: string,
    /** What is wrong with single fields, by their names. */
    readonly fields: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export interface ClientOptions {
  token: string | null;
  /** Called when the backend no longer knows the token. */
  onSignedOut?: () => void;
}

export type Client = ReturnType<typeof createClient>;

export function createClient({ token, onSignedOut }: ClientOptions) {
  async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    // Which day is today depends on where the person is.
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    const headers: Record<string, string> = { Accept: 'application/json', 'X-Time-Zone': zone };
    if (token !== null) headers['Authorization'] = `Bearer ${token}`;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    let response: Response;
    try {
      response = await fetch(`/api${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError('OmniLife cannot be reached. Are you online?', 0, 'unreachable');
    }
    if (!response.ok) {
      if (response.status === 401 && token !== null) onSignedOut?.();
      throw await errorOf(response);
    }
    if (response.status === 204) return undefined as T;
    try {
      return (await response.json()) as T;
    } catch {
      throw new ApiError('OmniLife answered something that is not understood.', response.status, 'not-json');
    }
  }

  const list = async <T>(path: string, signal?: AbortSignal) => (await ask<Items<T>>('GET', path, undefined, signal)).items;

  return {
    signUp: (name: string, email: string, password: string) =>
      ask<Session>('POST', '/users', { name, email, password }),
    signIn: (email: string, password: string) => ask<Session>('POST', '/sessions', { email, password }),
    signOut: () => ask<undefined>('DELETE', '/sessions'),

    habits: () => list<Habit>(`/habits?limit=${PAGE}`),
    habit: (id: Id) => ask<Habit>('GET', `/habits/${id}`),
    addHabit: (draft: HabitDraft) => ask<Habit>('POST', '/habits', draft),
    changeHabit: (id: Id, draft: Partial<HabitDraft>) => ask<Habit>('PATCH', `/habits/${id}`, draft),
    removeHabit: (id: Id) => ask<undefined>('DELETE', `/habits/${id}`),

    entries: (id: Id, from: Day) => list<Entry>(`/habits/${id}/entries?from=${from}&limit=${PAGE}`),
    addEntry: (id: Id, draft: EntryDraft) => ask<Entry>('POST', `/habits/${id}/entries`, draft),
    removeEntry: (id: Id, day: Day) => ask<undefined>('DELETE', `/habits/${id}/entries/${day}`),

    search: (words: string, signal?: AbortSignal) => list<Hit>(`/search?q=${encodeURIComponent(words)}`, signal),
  };
}

async function errorOf(response: Response): Promise<ApiError> {
  const said = await response.json().catch(() => null);
  const error: unknown = isRecord(said) ? said['error'] : null;
  if (isRecord(error) && typeof error['message'] === 'string' && typeof error['code'] === 'string') {
    return new ApiError(error['message'], response.status, error['code'], textsOf(error['fields']));
  }
  return new ApiError(`OmniLife has trouble answering (${response.status}). Please try again.`, response.status, 'unknown');
}

function textsOf(fields: unknown): Record<string, string> {
  if (!isRecord(fields)) return {};
  return Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, String(text)]));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** What to show a person, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof ApiError ? error.message : 'Something went wrong on this page.';
}
