/**
 * One person's way through OmniLife in a real Chromium: in, a habit, a check-in, the search, out.
 *
 *   BASE_URL=http://localhost:3100 npm run e2e
 *
 * CHROMIUM names the browser (/usr/bin/chromium). Writes reports/junit.xml, and reports/failure.png when a step fails.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const BASE_URL = process.env.BASE_URL ?? 'http://127.0.0.1:3000';
const REPORTS = 'reports';
const STEP_MS = 10_000;
const unique = `${Date.now().toString(36)}${process.pid}`;
const habit = `Read ${unique}`;

const steps = [
  ['signs up', async (page) => {
    await page.goto(`${BASE_URL}/signup`);
    await page.getByLabel('Name').fill('Ana');
    await page.getByLabel('Email').fill(`ana-${unique}@example.com`);
    await page.getByLabel('Password').fill('correct horse battery');
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByRole('heading', { name: 'What would you like to do every day?' }).waitFor();
  }],
  ['creates a habit', async (page) => {
    await page.getByRole('button', { name: 'New habit' }).click();
    await page.getByLabel('Name').fill(habit);
    await page.getByLabel('Why, or how').fill('Ten pages');
    await page.getByRole('button', { name: 'Add habit' }).click();
    await page.getByRole('link', { name: habit }).waitFor();
  }],
  ['checks in, and the streak shows', async (page) => {
    const answered = page.waitForResponse((response) => response.request().method() === 'POST' && response.url().endsWith('/entries'));
    await page.getByRole('button', { name: `${habit}: done today` }).click();
    if (!(await answered).ok()) throw new Error(`the check-in was answered with ${(await answered).status()}`);
    // Loaded anew: what shows is what the backend keeps.
    await page.reload();
    await page.getByRole('listitem').filter({ hasText: habit }).getByText('Streak: 1 day').waitFor();
    await page.getByRole('button', { name: `${habit}: done today`, pressed: true }).waitFor();
  }],
  ['finds it by the search', async (page) => {
    await page.getByRole('searchbox').fill(unique);
    await page.getByRole('searchbox').press('Enter');
    await page.getByRole('link', { name: habit }).click();
    await page.getByRole('heading', { name: habit }).waitFor();
  }],
  ['signs out', async (page) => {
    await page.locator('summary').click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Create your account' }).waitFor();
  }],
];

const isRoot = process.getuid?.() === 0;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: isRoot ? ['--no-sandbox'] : [],
});
const page = await browser.newPage();
page.setDefaultTimeout(STEP_MS);
const problems = [];
page.on('pageerror', (error) => problems.push(error.message));
mkdirSync(REPORTS, { recursive: true });

const results = [];
for (const [name, run] of steps) {
  const began = performance.now();
  let failure = null;
  if (results.some((result) => result.failure !== null)) {
    results.push({ name, seconds: 0, failure: null, skipped: true });
    continue;
  }
  try {
    await run(page);
    if (problems.length > 0) throw new Error(`errors on the page: ${problems.join('; ')}`);
  } catch (error) {
    failure = error.message;
    await page.screenshot({ path: `${REPORTS}/failure.png`, fullPage: true }).catch(() => undefined);
  }
  const seconds = (performance.now() - began) / 1000;
  results.push({ name, seconds, failure, skipped: false });
  process.stdout.write(`${failure === null ? 'ok  ' : 'FAIL'} ${name} (${seconds.toFixed(2)} s)${failure === null ? '' : `\n${failure}`}\n`);
}
await browser.close();
writeFileSync(`${REPORTS}/junit.xml`, junit(results));
process.exitCode = results.some(({ failure }) => failure !== null) ? 1 : 0;

function junit(cases) {
  const failures = cases.filter(({ failure }) => failure !== null).length;
  const skipped = cases.filter((result) => result.skipped).length;
  const time = cases.reduce((sum, { seconds }) => sum + seconds, 0).toFixed(3);
  const counts = `tests="${cases.length}" failures="${failures}" errors="0" skipped="${skipped}" time="${time}"`;
  const lines = cases.map(({ name, seconds, failure, skipped: left }) => {
    const inside = failure !== null ? `<failure message="${escaped(failure)}"/>` : left ? '<skipped/>' : '';
    return `    <testcase classname="journey" name="${escaped(name)}" time="${seconds.toFixed(3)}">${inside}</testcase>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites ${counts}>\n  <testsuite name="journey" ${counts}>\n${lines.join('\n')}\n  </testsuite>\n</testsuites>\n`;
}

/** As text in XML, which has no place for control characters. */
function escaped(words) {
  // eslint-disable-next-line no-control-regex
  return words.replace(/\u001b\[\d*m/g, '').replace(/[\u0000-\u0008\u000b-\u001f]/g, '').replace(/[&<>"\n]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
