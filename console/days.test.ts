import { expect, test } from "bun:test";
import fc from "fast-check";
import { addDays, dayOf, daysBetween, instantOf, startOfDay, wallTimeOf } from "./days.ts";

const zones = fc.constantFrom(
  "UTC",
  "Europe/Berlin",
  "America/New_York",
  "Asia/Kolkata",
  "Pacific/Auckland",
);
const instants = fc.integer({ min: Date.UTC(2020, 0, 1), max: Date.UTC(2030, 0, 1) });

test("an instant lies within its own day, and days touch", () => {
  fc.assert(
    fc.property(zones, instants, (zone, atMs) => {
      const day = dayOf(atMs, zone);
      expect(startOfDay(day, zone)).toBeLessThanOrEqual(atMs);
      expect(startOfDay(addDays(day, 1), zone)).toBeGreaterThan(atMs);
    }),
  );
});

test("days of 23 and 25 hours", () => {
  const hours = (day: string) =>
    (startOfDay(addDays(day, 1), "Europe/Berlin") - startOfDay(day, "Europe/Berlin")) / 3_600_000;
  expect(hours("2026-03-29")).toBe(23);
  expect(hours("2026-10-25")).toBe(25);
  expect(hours("2026-11-24")).toBe(24);
});

test("a wall time comes back as it was", () => {
  fc.assert(
    fc.property(zones, instants, (zone, atMs) => {
      const minute = wallTimeOf(atMs, zone);
      expect(wallTimeOf(instantOf(minute, zone), zone)).toBe(minute);
    }),
  );
  expect(new Date(instantOf("2026-11-24T09:30", "Europe/Berlin")).toISOString()).toBe(
    "2026-11-24T08:30:00.000Z",
  );
});

test("the days between two days, both included, across the end of a month", () => {
  expect(daysBetween("2026-11-29", "2026-12-01")).toEqual([
    "2026-11-29",
    "2026-11-30",
    "2026-12-01",
  ]);
  expect(daysBetween("2026-11-24", "2026-11-24")).toEqual(["2026-11-24"]);
  expect(daysBetween("2026-11-24", "2026-11-23")).toEqual([]);
});
