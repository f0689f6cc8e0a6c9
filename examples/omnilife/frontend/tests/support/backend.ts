/**
 * The backend as its README describes it, in memory, in place of `fetch`: the boundary of this program.
 * Every request is kept in `asked`; `fail` makes the next fitting one fail.
 */
import type { Entry, Habit, Hit, User } from '../../src/api/types';
import { addDays, today } from '../../src/lib/days';

interface Failure {
  match: string;
  status: number;
  body: unknown;
}

interface Asked {
  method: string;
  path: string;
  body: unknown;
  headers: Record<string, string>;
}

export class FakeBackend {
  readonly asked: Asked[] = [];
  readonly habits: Habit[] = [];
  readonly entries: Entry[] = [];
  revision: string | null = 'c8f2d4b0a1';
  user: User | null = null;
  /** Requests that fit it wait until it is resolved. */
  held: { match: string; until: Promise<void> } | null = null;
  private readonly failures: Failure[] = [];
  private nextId = 1;

  install(): void {
    globalThis.fetch = ((url: string, init?: RequestInit) => this.fetch(url, init)) as typeof fetch;
  }

  /** Signed in as Ana, as after a visit before. */
  signedIn(): void {
    this.user = { id: 1, name: 'Ana', email: 'ana@example.com' };
    localStorage.setItem('omnilife.session', JSON.stringify({ token: 'token-1', user: this.user }));
  }

  addHabit(name: string, doneAgo: readonly number[] = [], more: Partial<Habit> = {}): Habit {
    const habit: Habit = {
      id: this.id(), name, description: '', color: '#2f6feb', created_at: '2026-01-01T00:00:00Z',
      streak: 0, done_today: false, entries_count: 0, ...more,
    };
    this.habits.push(habit);
    for (const ago of doneAgo) this.addEntry(habit.id, addDays(today(), -ago), '');
    return habit;
  }

  addEntry(habit_id: number, day: string, note: string): Entry {
    const known = this.entries.find((entry) => entry.habit_id === habit_id && entry.day === day);
    if (known) return Object.assign(known, { note });
    const entry = { id: this.id(), habit_id, day, note };
    this.entries.push(entry);
    return entry;
  }

  /** `match` is the method and the beginning of the path. A status of 0 is no answer at all. */
  fail(match: string, status: number, code = 'internal', message = 'Our fault.', fields?: Record<string, string>): void {
    this.failures.push({ match, status, body: { error: { code, message, fields } } });
  }

  failWith(match: string, status: number, body: unknown): void {
    this.failures.push({ match, status, body });
  }

  count(match: string): number {
    return this.asked.filter(({ method, path }) => `${method} ${path}`.startsWith(match)).length;
  }

  private async fetch(url: string, init: RequestInit = {}): Promise<Response> {
    const method = init.method ?? 'GET';
    const request = {
      method,
      path: url,
      body: typeof init.body === 'string' ? (JSON.parse(init.body) as unknown) : undefined,
      headers: (init.headers ?? {}) as Record<string, string>,
    };
    this.asked.push(request);
    const line = `${method} ${url}`;
    if (this.held && line.startsWith(this.held.match)) await this.held.until;
    if (init.signal?.aborted) throw new DOMException('aborted', 'AbortError');
    const failing = this.failures.findIndex(({ match }) => line.startsWith(match));
    const [failure] = failing < 0 ? [] : this.failures.splice(failing, 1);
    if (failure?.status === 0) throw new TypeError('Failed to fetch');
    if (failure) return answer(failure.status, failure.body);
    return this.route(request);
  }

  private route({ method, path, body, headers }: Asked): Response {
    const { pathname, searchParams } = new URL(path, 'http://localhost');
    const draft = (body ?? {}) as Record<string, string>;
    const line = `${method} ${pathname}`;
    if (line === 'GET /version') return this.revision === null ? answer(404, 'none') : answer(200, { revision: this.revision });
    if (line === 'POST /api/users' || line === 'POST /api/sessions') {
      this.user = { id: 1, name: draft['name'] ?? 'Ana', email: draft['email'] ?? '' };
      return answer(201, { token: 'token-1', user: this.user });
    }
    if (headers['Authorization'] !== 'Bearer token-1') return refused(401, 'unauthorized', 'Please sign in.');
    if (line === 'DELETE /api/sessions') return answer(204, undefined);
    if (line === 'GET /api/search') return answer(200, { items: this.search(searchParams.get('q') ?? '') });
    if (line === 'GET /api/habits') return answer(200, { items: this.habits.map((habit) => this.figures(habit)) });
    if (line === 'POST /api/habits') return answer(201, this.figures(this.addHabit(draft['name'] ?? '', [], draft)));
    return this.ofHabit(method, pathname, draft, searchParams.get('from') ?? '');
  }

  private ofHabit(method: string, path: string, draft: Record<string, string>, from: string): Response {
    const [, id, what, day] = /^\/api\/habits\/(\d+)(?:\/(entries))?(?:\/(.+))?$/.exec(path) ?? [];
    const habit = this.habits.find((known) => known.id === Number(id));
    if (!habit) return refused(404, 'not_found', 'There is no such thing.');
    const entries = this.entries.filter((entry) => entry.habit_id === habit.id);
    switch (`${method} ${what ?? ''}`) {
      case 'GET ':
        return answer(200, this.figures(habit));
      case 'PATCH ':
        return answer(200, this.figures(Object.assign(habit, draft)));
      case 'DELETE ':
        this.habits.splice(this.habits.indexOf(habit), 1);
        return answer(204, undefined);
      case 'GET entries':
        return answer(200, { items: entries.filter((entry) => entry.day >= from) });
      case 'POST entries':
        return answer(201, { ...this.addEntry(habit.id, draft['day'] ?? today(), draft['note'] ?? '') });
      case 'DELETE entries': {
        const entry = entries.find((known) => known.day === day);
        if (!entry) return refused(404, 'not_found', 'There is no such thing.');
        this.entries.splice(this.entries.indexOf(entry), 1);
        return answer(204, undefined);
      }
      default:
        return refused(405, 'method_not_allowed', 'Not that way.');
    }
  }

  private figures(habit: Habit): Habit {
    const days = new Set(this.entries.filter((entry) => entry.habit_id === habit.id).map(({ day }) => day));
    let day = days.has(today()) ? today() : addDays(today(), -1);
    let streak = 0;
    for (; days.has(day); day = addDays(day, -1)) streak += 1;
    return { ...habit, streak, done_today: days.has(today()), entries_count: days.size };
  }

  private search(words: string): Hit[] {
    const named = this.habits.filter(({ name }) => name.toLowerCase().includes(words.toLowerCase()));
    const noted = this.entries.filter(({ note }) => note.includes(words));
    return [
      ...named.map(({ id, name, description }) => ({ kind: 'habit' as const, id, habit_id: id, day: null, title: name, snippet: description })),
      ...noted.map(({ id, habit_id, day, note }) => ({
        kind: 'entry' as const, id, habit_id, day, snippet: note,
        title: this.habits.find((habit) => habit.id === habit_id)?.name ?? '',
      })),
    ];
  }

  private id(): number {
    this.nextId += 1;
    return this.nextId;
  }
}

function answer(status: number, body: unknown): Response {
  const ok = status < 400;
  const json = () => (typeof body === 'string' ? Promise.reject(new SyntaxError('no JSON')) : Promise.resolve(body));
  return { ok, status, json } as Response;
}

function refused(status: number, code: string, message: string): Response {
  return answer(status, { error: { code, message } });
}
