// Calendar days in the reporting zone: a day is a date text such as 2026-11-24, and its bounds are instants.
// Invariant: the bounds of neighbouring days touch, also on days of 23 and 25 hours.

const parts = new Map<string, Intl.DateTimeFormat>();

function wallClock(atMs: number, timeZone: string): number {
  let format = parts.get(timeZone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    parts.set(timeZone, format);
  }
  const read = new Map(format.formatToParts(atMs).map((part) => [part.type, Number(part.value)]));
  const of = (name: Intl.DateTimeFormatPartTypes) => read.get(name) ?? 0;
  return Date.UTC(of("year"), of("month") - 1, of("day"), of("hour"), of("minute"), of("second"));
}

export function dayOf(atMs: number, timeZone: string): string {
  return new Date(wallClock(atMs, timeZone)).toISOString().slice(0, 10);
}

export function addDays(day: string, days: number): string {
  return new Date(Date.parse(`${day}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

const DAYS_MAX = 400;

/** Both included; a span without an end in sight is cut. */
export function daysBetween(first: string, last: string): string[] {
  const count = Math.round((Date.parse(last) - Date.parse(first)) / 86_400_000) + 1;
  return Array.from({ length: Math.max(0, Math.min(count, DAYS_MAX)) }, (_, index) =>
    addDays(first, index),
  );
}

/** The instant at which clocks of the zone show this wall time (`2026-11-24T09:30`). */
export function instantOf(wallTime: string, timeZone: string): number {
  const wanted = Date.parse(`${wallTime}${wallTime.length === 16 ? ":00" : ""}Z`);
  let guess = wanted;
  // The offset at the guess may differ from the offset at the result across a change of the clocks; twice settles it.
  for (let round = 0; round < 2; round += 1) guess += wanted - wallClock(guess, timeZone);
  return guess;
}

export const startOfDay = (day: string, timeZone: string) => instantOf(`${day}T00:00`, timeZone);

/** For `<input type="datetime-local">`. */
export function wallTimeOf(atMs: number, timeZone: string): string {
  return new Date(wallClock(atMs, timeZone)).toISOString().slice(0, 16);
}

/** Spend limits count calendar months of UTC, whatever the reporting zone is. */
export function monthOf(nowMs: number): [from: string, to: string] {
  const now = new Date(nowMs);
  const start = (months: number) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months)).toISOString();
  return [start(0), start(1)];
}
