import { addDays, lastDays, longDay, plural, shortDay, spokenDay, weekday, weeks } from '../src/lib/days';

describe('days', () => {
  test.each([
    ['2026-11-25', 1, '2026-11-26'],
    ['2026-03-01', -1, '2026-02-28'],
    ['2024-03-01', -1, '2024-02-29'],
    ['2026-12-31', 1, '2027-01-01'],
    // Summer time begins and ends in Europe on these days.
    ['2026-03-28', 2, '2026-03-30'],
    ['2026-10-24', 2, '2026-10-26'],
  ])('%s and %i days is %s', (day, count, expected) => expect(addDays(day, count)).toBe(expected));

  test('the last days end with the day, oldest first', () => {
    expect(lastDays(3, '2026-11-01')).toEqual(['2026-10-30', '2026-10-31', '2026-11-01']);
  });

  test.each([['2026-11-23', 0], ['2026-11-25', 2], ['2026-11-29', 6]])('%s is weekday %i', (day, number) => {
    expect(weekday(day)).toBe(number);
  });

  test.each(['2026-11-23', '2026-11-25', '2026-11-29'])('the weeks up to %s are whole', (end) => {
    const days = weeks(30, end);
    expect(days.length % 7).toBe(0);
    expect(weekday(days[0] ?? '')).toBe(0);
    expect(days).toEqual(expect.arrayContaining(lastDays(30, end)));
    expect(days.at(-7) ?? '').toBe('2026-11-23');
  });

  test('days have names', () => {
    expect(longDay('2026-11-25')).toBe('Wednesday 25 November');
    expect(shortDay('2026-11-05')).toBe('5 Nov');
    expect(spokenDay('2026-11-25', '2026-11-25')).toBe('today');
    expect(spokenDay('2026-11-24', '2026-11-25')).toBe('yesterday');
    expect(spokenDay('2026-11-01', '2026-11-25')).toBe('Sunday 1 November');
  });

  test.each([[0, '0 days'], [1, '1 day'], [2, '2 days']])('%i: %s', (count, words) => expect(plural(count, 'day')).toBe(words));
});
