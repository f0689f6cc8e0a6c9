/**
 * Days as people mean them: the date on their own calendar, written `2026-11-25`.
 * Such strings sort by time, so `<` and `===` are all the comparison that is needed.
 */
export type Day = string;

const MONDAY_FIRST = 6;

export function dayOf(date: Date): Day {
  const month = String(date.getMonth() + 1).padStart(2, '0');
  const day = String(date.getDate()).padStart(2, '0');
  return `${date.getFullYear()}-${month}-${day}`;
}

export function today(): Day {
  return dayOf(new Date());
}

/** Noon, so that a change to or from summer time moves no date. */
export function dateOf(day: Day): Date {
  return new Date(`${day}T12:00:00`);
}

export function addDays(day: Day, count: number): Day {
  const date = dateOf(day);
  date.setDate(date.getDate() + count);
  return dayOf(date);
}

/** The `count` days that end with `end`, oldest first. */
export function lastDays(count: number, end: Day): Day[] {
  return Array.from({ length: count }, (_, index) => addDays(end, index - count + 1));
}

/** Days since the Monday of the same week: 0 to 6. */
export function weekday(day: Day): number {
  return (dateOf(day).getDay() + MONDAY_FIRST) % 7;
}

/** Whole weeks, Monday first, the last of them with `end`; never fewer than `count` days up to `end`. */
export function weeks(count: number, end: Day): Day[] {
  const first = addDays(end, 1 - count);
  const monday = addDays(first, -weekday(first));
  const days: Day[] = [];
  for (let day = monday; day <= end || weekday(day) !== 0; day = addDays(day, 1)) days.push(day);
  return days;
}

const LONG = new Intl.DateTimeFormat('en-GB', { weekday: 'long', day: 'numeric', month: 'long' });
const SHORT = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** “Wednesday 25 November”. */
export function longDay(day: Day): string {
  return LONG.format(dateOf(day)).replace(',', '');
}

/** “25 Nov”. */
export function shortDay(day: Day): string {
  return SHORT.format(dateOf(day));
}

/** “today”, “yesterday” or the date. */
export function spokenDay(day: Day, now: Day): string {
  if (day === now) return 'today';
  return day === addDays(now, -1) ? 'yesterday' : longDay(day);
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
