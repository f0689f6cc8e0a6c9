import { ApiError, createClient, messageOf } from '../src/api/client';
import { FakeBackend } from './support/backend';

let backend: FakeBackend;
beforeEach(() => {
  backend = new FakeBackend();
  backend.install();
});

async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(() => null, (error: unknown) => error);
}

test('a request says who asks, and where they are', async () => {
  await createClient({ token: 'token-1' }).addHabit({ name: 'Read', description: '', color: '#2f6feb' });
  const [asked] = backend.asked;
  expect(asked).toMatchObject({ method: 'POST', path: '/api/habits', body: { name: 'Read' } });
  expect(asked?.headers).toMatchObject({ Authorization: 'Bearer token-1', 'Content-Type': 'application/json' });
  expect(asked?.headers['X-Time-Zone']).toBe(Intl.DateTimeFormat().resolvedOptions().timeZone);
});

test('words of a search are escaped', async () => {
  await createClient({ token: 'token-1' }).search('a&b=ö #');
  expect(backend.asked[0]?.path).toBe('/api/search?q=a%26b%3D%C3%B6%20%23');
});

test.each([
  ['what the backend says', 422, { error: { code: 'validation_failed', message: 'Not right.', fields: { name: 'Too long.' } } }, 'Not right.', { name: 'Too long.' }],
  ['a page of a proxy', 503, 'Service unavailable', 'OmniLife has trouble answering (503). Please try again.', {}],
  ['JSON of another kind', 500, { detail: 'boom' }, 'OmniLife has trouble answering (500). Please try again.', {}],
  ['nothing at all', 0, null, 'OmniLife cannot be reached. Are you online?', {}],
  ['no JSON where some was promised', 200, 'hello', 'OmniLife answered something that is not understood.', {}],
])('%s becomes an error for people', async (_what, status, body, message, fields) => {
  backend.failWith('GET /api/habits', status, body);
  const error = await errorOf(createClient({ token: 'token-1' }).habits());
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ message, status, fields });
  expect(messageOf(error)).toBe(message);
});

test('an unknown token signs out; a wrong password does not', async () => {
  const onSignedOut = jest.fn();
  await errorOf(createClient({ token: 'old', onSignedOut }).habits());
  expect(onSignedOut).toHaveBeenCalledTimes(1);
  backend.fail('POST /api/sessions', 401, 'unauthorized', 'Wrong email or password.');
  await errorOf(createClient({ token: null, onSignedOut }).signIn('a@example.com', 'no'));
  expect(onSignedOut).toHaveBeenCalledTimes(1);
});

test('an abort stays an abort, and other errors say nothing of their insides', async () => {
  const control = new AbortController();
  control.abort();
  expect(await errorOf(createClient({ token: 'token-1' }).search('x', control.signal))).toMatchObject({ name: 'AbortError' });
  expect(messageOf(new TypeError('x is undefined'))).toBe('Something went wrong on this page.');
});
