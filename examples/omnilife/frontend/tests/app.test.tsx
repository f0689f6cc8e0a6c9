import { act, render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { App } from '../src/App';
import { addDays, longDay, today } from '../src/lib/days';
import { NOTE_STAYS_MS } from '../src/state/toasts';
import { FakeBackend } from './support/backend';

let backend: FakeBackend;
let user: ReturnType<typeof userEvent.setup>;
beforeEach(() => {
  backend = new FakeBackend();
  backend.install();
  user = userEvent.setup();
});

function open(path = '/') {
  history.replaceState(null, '', path);
  return render(<App />);
}

const button = (name: string | RegExp) => screen.findByRole('button', { name });
const heading = (name: string | RegExp) => screen.findByRole('heading', { name });
const checkOf = (habit: string) => button(`${habit}: done today`);

describe('the way in', () => {
  test('signs up, says what is wrong at the field, and opens today', async () => {
    open('/signup');
    await user.type(screen.getByLabelText('Name'), 'Ana');
    await user.type(screen.getByLabelText('Email'), 'ana@example.com');
    await user.type(screen.getByLabelText('Password'), 'long enough');
    backend.fail('POST /api/users', 422, 'validation_failed', 'Not right.', { email: 'Is taken.' });
    await user.click(await button('Create account'));
    expect(await screen.findByText('Is taken.')).toBeVisible();
    expect(screen.getByLabelText('Email')).toHaveAccessibleDescription('Is taken.');
    expect(screen.getByLabelText('Email')).toHaveFocus();
    await user.click(await button('Create account'));
    expect(await heading('What would you like to do every day?')).toBeVisible();
    expect(location.pathname).toBe('/');
  });

  test('signs in from the page that was wanted, with the password as it was typed', async () => {
    backend.addHabit('Read');
    open('/search?q=read');
    await user.type(screen.getByLabelText('Email'), ' ana@example.com');
    await user.type(screen.getByLabelText('Password'), ' with spaces ');
    backend.fail('POST /api/sessions', 401, 'unauthorized', 'Wrong email or password.');
    await user.click(await button('Sign in'));
    expect(await screen.findByText('Wrong email or password.')).toBeVisible();
    await user.click(await button('Sign in'));
    expect(await screen.findByRole('link', { name: 'Read' })).toBeVisible();
    expect(backend.asked.find(({ method }) => method === 'POST')?.body).toEqual({ email: 'ana@example.com', password: ' with spaces ' });
  });

  test('goes from one door to the other by its link', async () => {
    open('/');
    await user.click(screen.getByRole('link', { name: 'Sign in' }));
    expect(await heading('Sign in')).toHaveFocus();
    expect(document.title).toBe('Sign in · OmniLife');
  });

  test('signs out, here and at the backend, even if that fails', async () => {
    backend.signedIn();
    open('/');
    backend.fail('DELETE /api/sessions', 0);
    await user.click(screen.getByText('Ana', { selector: 'summary span' }));
    await user.click(screen.getByRole('button', { name: 'Sign out' }));
    expect(await heading('Create your account')).toBeVisible();
    expect(localStorage.getItem('omnilife.session')).toBeNull();
    expect(backend.count('DELETE /api/sessions')).toBe(1);
  });

  test('a token that is no longer good leads back to the door', async () => {
    backend.signedIn();
    backend.fail('GET /api/habits', 401, 'unauthorized', 'Please sign in.');
    open('/search?q=x');
    expect(await screen.findByText('You have been signed out. Please sign in again.')).toBeVisible();
    expect(await heading('Sign in')).toBeVisible();
  });

  test.each(['not json', '{"token": 7}', '"text"'])('a stored session that is damaged is none: %s', (stored) => {
    localStorage.setItem('omnilife.session', stored);
    open('/');
    expect(screen.getByRole('heading', { name: 'Create your account' })).toBeVisible();
  });

  test('another window that signs out signs out this one', async () => {
    backend.signedIn();
    open('/');
    localStorage.clear();
    act(() => void window.dispatchEvent(new StorageEvent('storage', { key: 'omnilife.session' })));
    expect(await heading('Create your account')).toBeVisible();
  });
});

describe('today', () => {
  beforeEach(() => backend.signedIn());

  test('says that it loads, then shows habits, streaks and the last thirty days', async () => {
    backend.addHabit('Read', [1, 2, 3, 40], { description: 'Ten pages' });
    open('/');
    expect(screen.getByText('Loading your habits…')).toBeInTheDocument();
    const row = (await screen.findByRole('link', { name: 'Read' })).closest('li');
    expect(row).toHaveTextContent('Ten pages');
    expect(row).toHaveTextContent('Streak: 3 days');
    expect(within(row as HTMLElement).getByRole('img', { name: 'Done on 3 of the last 30 days' })).toBeVisible();
    expect(await heading(longDay(today()))).toBeVisible();
    expect(screen.getByText('0 of 1 done')).toBeVisible();
  });

  test('a failure to load can be tried again', async () => {
    backend.fail('GET /api/habits', 500, 'internal', 'The database is away.');
    open('/');
    expect(await screen.findByText('The database is away.')).toBeVisible();
    await user.click(await button('Try again'));
    expect(await heading('What would you like to do every day?')).toBeVisible();
  });

  test('a check-in shows before the backend has answered', async () => {
    backend.addHabit('Read', [1, 2]);
    backend.addHabit('Walk');
    open('/');
    let release: () => void = () => undefined;
    const until = new Promise<void>((resolve) => { release = resolve; });
    const check = await checkOf('Read');
    backend.held = { match: 'POST ', until };
    await user.click(check);
    expect(check).toHaveAttribute('aria-pressed', 'true');
    expect(screen.getByText('1 of 2 done')).toBeVisible();
    expect(check.closest('li')).toHaveTextContent('3 days');
    await user.click(check);
    expect(backend.count('POST ')).toBe(1);
    release();
    await waitFor(() => expect(backend.count('GET /api/habits/2')).toBe(2));
    expect(check).toHaveAttribute('aria-pressed', 'true');
  });

  test('a check-in that fails is taken back, said, and can be tried again', async () => {
    backend.addHabit('Read', [1, 2]);
    open('/');
    const check = await checkOf('Read');
    backend.fail('POST ', 0);
    await user.click(check);
    expect(await screen.findByText(/“Read” was not checked in for today\. OmniLife cannot be reached/)).toBeVisible();
    expect(check).toHaveAttribute('aria-pressed', 'false');
    expect(check.closest('li')).toHaveTextContent('2 days');
    await user.click(await button('Try again'));
    await waitFor(() => expect(check).toHaveAttribute('aria-pressed', 'true'));
    expect(screen.getByText('That was all for today.')).toBeVisible();
    expect(backend.entries).toHaveLength(3);
  });

  test('a check-in that is taken back can be had again, with its note', async () => {
    const { id } = backend.addHabit('Read');
    backend.addEntry(id, today(), 'on the train');
    open('/');
    const check = await checkOf('Read');
    await user.click(check);
    expect(await screen.findByText('“Read” is no longer checked in for today.')).toBeVisible();
    expect(backend.entries).toHaveLength(0);
    await user.click(await button('Undo'));
    await waitFor(() => expect(backend.entries).toMatchObject([{ day: today(), note: 'on the train' }]));
    expect(check).toHaveAttribute('aria-pressed', 'true');
  });

  test('a check-in that cannot be taken back is shown again; one that is gone already is gone', async () => {
    const { id } = backend.addHabit('Read', [0]);
    open('/');
    const check = await checkOf('Read');
    backend.fail('DELETE ', 500);
    await user.click(check);
    expect(await screen.findByText(/is still there\. Our fault\./)).toBeVisible();
    expect(check).toHaveAttribute('aria-pressed', 'true');
    await user.click(await button('Put this message away'));
    expect(screen.queryByText(/is still there/)).toBeNull();
    backend.fail(`DELETE /api/habits/${id}`, 404, 'not_found', 'Gone.');
    await user.click(check);
    expect(await screen.findByText(/is no longer checked in/)).toBeVisible();
  });

  test('a habit is added from an idea, with its color, and the failure of it is said', async () => {
    open('/');
    await user.click(await button('Walk outside'));
    const dialog = screen.getByRole('dialog', { name: 'New habit' });
    const name = within(dialog).getByLabelText('Name');
    expect(name).toHaveValue('Walk outside');
    await user.clear(name);
    await user.type(name, 'Walk far');
    await user.click(within(dialog).getByRole('radio', { name: 'Rose' }));
    backend.fail('POST /api/habits', 500, 'internal', 'Not now.');
    await user.click(within(dialog).getByRole('button', { name: 'Add habit' }));
    expect(await within(dialog).findByText('Not now.')).toBeVisible();
    await user.click(within(dialog).getByRole('button', { name: 'Add habit' }));
    expect(await screen.findByRole('link', { name: 'Walk far' })).toBeVisible();
    expect(screen.queryByRole('dialog')).toBeNull();
    expect(backend.habits).toMatchObject([{ name: 'Walk far', color: '#c2476b' }]);
  });

  test('the dialog is left by its button, by Cancel and by Escape, and nothing is added', async () => {
    backend.addHabit('Read');
    open('/');
    for (const leave of ['Close', 'Cancel']) {
      await user.click(await button('New habit'));
      await user.click(screen.getByRole('button', { name: leave }));
      expect(screen.queryByRole('dialog')).toBeNull();
    }
    await user.click(await button('New habit'));
    act(() => void screen.getByRole('dialog').dispatchEvent(new Event('cancel', { cancelable: true })));
    expect(screen.queryByRole('dialog')).toBeNull();
    expect(backend.count('POST ')).toBe(0);
  });

  test('a new day begins when somebody looks at the page', async () => {
    backend.addHabit('Read', [0]);
    open('/');
    expect(await screen.findByText('1 of 1 done')).toBeVisible();
    jest.useFakeTimers({ now: Date.now() + 86_400_000, doNotFake: ['setTimeout', 'queueMicrotask', 'setImmediate', 'nextTick'] });
    try {
      act(() => void document.dispatchEvent(new Event('visibilitychange')));
      expect(await screen.findByText('0 of 1 done')).toBeVisible();
      expect(screen.getByText('Streak:').closest('li')).toHaveTextContent('1 day');
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('one habit', () => {
  beforeEach(() => backend.signedIn());

  test('shows its figures, its notes, and the days of its weeks', async () => {
    const { id } = backend.addHabit('Read', [0, 1, 50], { description: 'Ten pages' });
    backend.addEntry(id, addDays(today(), -1), 'on the train');
    open(`/habits/${id}`);
    expect(await heading('Read')).toBeVisible();
    expect(screen.getByText('Done today')).toBeVisible();
    expect(screen.getByText('on the train')).toBeVisible();
    expect(screen.getByText('3 times')).toBeVisible();
    const yesterday = await button(`${longDay(addDays(today(), -1))}, with a note`);
    expect(yesterday).toHaveAttribute('aria-pressed', 'true');
  });

  test('a forgotten day is checked in from the calendar, and the streak comes from the backend', async () => {
    const { id } = backend.addHabit('Read', [0, 2]);
    open(`/habits/${id}`);
    await user.click(await button(longDay(addDays(today(), -1))));
    expect(await screen.findByText('3 days')).toBeVisible();
    expect(backend.entries.map(({ day }) => day)).toContain(addDays(today(), -1));
  });

  test('keeping a note checks in; a note that fails stays in its field', async () => {
    const { id } = backend.addHabit('Read');
    open(`/habits/${id}`);
    const field = await screen.findByLabelText('A note for today');
    await user.type(field, 'hard going');
    backend.fail('POST ', 500, 'internal', 'Not now.');
    await user.click(await button('Keep note'));
    expect(await screen.findByText('Not now.')).toBeVisible();
    expect(field).toHaveValue('hard going');
    await user.click(await button('Keep note'));
    expect(await screen.findByText('Your note for today is kept.')).toBeVisible();
    expect(screen.getByText('Done today')).toBeVisible();
    expect(backend.entries).toMatchObject([{ note: 'hard going' }]);
  });

  test('is changed in the dialog, and keeps a color that is not offered', async () => {
    const { id } = backend.addHabit('Read', [], { color: '#123456' });
    open(`/habits/${id}`);
    await user.click(await button('Edit'));
    expect(screen.getByRole('radio', { name: 'As it is' })).toBeChecked();
    await user.type(screen.getByLabelText('Name'), ' more');
    await user.click(await button('Save'));
    expect(await heading('Read more')).toBeVisible();
    expect(backend.habits).toMatchObject([{ name: 'Read more', color: '#123456' }]);
  });

  test('is deleted only after a second word', async () => {
    const { id } = backend.addHabit('Read', [0, 1]);
    open(`/habits/${id}`);
    await user.click(await button('Delete'));
    expect(screen.getByText(/Its 2 check-ins and their notes go with it/)).toBeVisible();
    await user.click(await button('Keep it'));
    expect(backend.habits).toHaveLength(1);
    await user.click(await button('Delete'));
    await user.click(await button('Delete habit'));
    expect(await heading('What would you like to do every day?')).toBeVisible();
    expect(location.pathname).toBe('/');
    expect(backend.habits).toHaveLength(0);
  });

  test('that is not there says so, and one that cannot be loaded too', async () => {
    open('/habits/99');
    expect(await heading('This habit is not here')).toBeVisible();
    await user.click(screen.getByRole('link', { name: 'To today' }));
    expect(location.pathname).toBe('/');
  });

  test('a failure to load can be tried again', async () => {
    const { id } = backend.addHabit('Read');
    backend.fail('GET /api/habits', 0);
    open(`/habits/${id}`);
    await user.click(await button('Try again'));
    expect(await heading('Read')).toBeVisible();
  });
});

describe('search', () => {
  beforeEach(() => backend.signedIn());

  test('finds habits and notes from the field at the top', async () => {
    const { id } = backend.addHabit('Train hard');
    backend.addEntry(id, addDays(today(), -2), 'no train came');
    open('/');
    await user.type(screen.getByRole('searchbox'), 'train{Enter}');
    expect(await screen.findByText('2 results')).toBeVisible();
    expect(screen.getByText('no train came')).toBeVisible();
    expect(screen.getByText(longDay(addDays(today(), -2)))).toBeVisible();
    await user.click(screen.getAllByRole('link', { name: 'Train hard' })[0] as HTMLElement);
    expect(await heading('Train hard')).toBeVisible();
    act(() => history.back());
    expect(await screen.findByText('2 results')).toBeVisible();
  });

  test('says when nothing was found, asked or answered', async () => {
    open('/search');
    expect(await heading('Search your habits and notes')).toBeVisible();
    backend.fail('GET /api/search', 500, 'internal', 'The index is away.');
    await user.type(screen.getByRole('searchbox'), 'nothing{Enter}');
    expect(await screen.findByText('The index is away.')).toBeVisible();
    await user.click(await button('Try again'));
    expect(await heading('Nothing found')).toBeVisible();
    await user.clear(screen.getByRole('searchbox'));
    await user.type(screen.getByRole('searchbox'), '{Enter}');
    expect(backend.count('GET /api/search')).toBe(2);
  });

  test('an answer to older words never replaces that to newer ones', async () => {
    backend.addHabit('Slow walk');
    backend.addHabit('Read');
    let release: () => void = () => undefined;
    backend.held = { match: 'GET /api/search?q=slow', until: new Promise((resolve) => { release = resolve; }) };
    open('/search?q=slow');
    await user.clear(await screen.findByRole('searchbox'));
    await user.type(screen.getByRole('searchbox'), 'read{Enter}');
    expect(await screen.findByRole('link', { name: 'Read' })).toBeVisible();
    release();
    await act(async () => { await backend.held?.until; });
    expect(screen.queryByRole('link', { name: 'Slow walk' })).toBeNull();
  });
});

describe('around the pages', () => {
  test('the footer names the release, and none if nobody knows it', async () => {
    const first = open('/');
    expect(await screen.findByText('c8f2d4b')).toBeVisible();
    first.unmount();
    backend.revision = null;
    open('/');
    await waitFor(() => expect(backend.count('GET /version')).toBe(2));
    expect(screen.queryByText('Release')).toBeNull();
  });

  test('the theme is chosen and kept', async () => {
    open('/');
    await user.click(screen.getByRole('radio', { name: 'Dark' }));
    expect(document.documentElement.dataset['theme']).toBe('dark');
    expect(localStorage.getItem('omnilife.theme')).toBe('dark');
    await user.click(screen.getByRole('radio', { name: 'System' }));
    expect(document.documentElement.dataset['theme']).toBeUndefined();
  });

  test('the account menu closes by Escape and by a press elsewhere', async () => {
    backend.signedIn();
    open('/');
    const summary = screen.getByText('Ana', { selector: 'summary span' });
    const menu = summary.closest('details') as HTMLDetailsElement;
    await user.click(summary);
    expect(menu.open).toBe(true);
    await user.keyboard('{Escape}');
    expect(menu.open).toBe(false);
    await user.click(summary);
    await user.click(document.body);
    expect(menu.open).toBe(false);
  });

  test('an unknown address says so', async () => {
    backend.signedIn();
    open('/nowhere');
    expect(await heading('There is nothing at this address')).toBeVisible();
  });

  test('a link with a key held down is the browser’s own business', async () => {
    open('/');
    await user.keyboard('{Control>}');
    await user.click(screen.getByRole('link', { name: 'Sign in' }));
    expect(screen.getByRole('heading', { name: 'Create your account' })).toBeVisible();
  });

  test('a note leaves by itself', async () => {
    backend.signedIn();
    backend.addHabit('Read', [0]);
    jest.useFakeTimers({ advanceTimers: true });
    try {
      user = userEvent.setup({ advanceTimers: jest.advanceTimersByTime });
      open('/');
      await user.click(await checkOf('Read'));
      expect(await screen.findByText(/is no longer checked in/)).toBeVisible();
      act(() => void jest.advanceTimersByTime(NOTE_STAYS_MS + 1));
      expect(screen.queryByText(/is no longer checked in/)).toBeNull();
    } finally {
      jest.useRealTimers();
    }
  });
});
