// The load test of a release: people look at their habits and check in.
//   BASE_URL=http://localhost:3000 k6 run load/load.js
// Red when an answer fails, when the answers are slow, and when nothing ran at all.
import http from 'k6/http';
import { check, fail } from 'k6';

const base = __ENV.BASE_URL;
const json = { 'Content-Type': 'application/json' };

export const options = {
  scenarios: {
    people: { executor: 'constant-vus', vus: 4, duration: '5s', gracefulStop: '2s' },
  },
  // Over within ten seconds, also where nobody answers.
  setupTimeout: '3s',
  thresholds: {
    checks: ['rate>0.99'],
    http_req_failed: ['rate<0.01'],
    http_req_duration: ['p(95)<1000'],
    iterations: ['count>10'],
  },
};

export function setup() {
  if (!base) fail('BASE_URL is not set');
  const name = `load-${Date.now()}-${Math.floor(Math.random() * 1e9)}`;
  const body = { name: 'Load test', email: `${name}@example.com`, password: `${name}-secret` };
  const user = http.post(`${base}/api/users`, JSON.stringify(body), { headers: json });
  if (user.status !== 201) fail(`signing up: ${user.status} ${user.body}`);
  const headers = { ...json, Authorization: `Bearer ${user.json('token')}` };
  const habit = http.post(`${base}/api/habits`, JSON.stringify({ name: 'Read' }), { headers });
  if (habit.status !== 201) fail(`a new habit: ${habit.status} ${habit.body}`);
  return { headers, habit: habit.json('id') };
}

export default function ({ headers, habit }) {
  const page = http.get(`${base}/`);
  check(page, { 'the page is there': (r) => r.status === 200 && r.body.includes('OmniLife') });
  const list = http.get(`${base}/api/habits`, { headers });
  check(list, { 'the habit is listed': (r) => r.status === 200 && r.json('total') === 1 });
  const entry = http.post(`${base}/api/habits/${habit}/entries`, '{}', { headers });
  check(entry, { 'the day is kept': (r) => r.status === 200 || r.status === 201 });
}
