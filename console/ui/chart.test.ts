import { expect, test } from "bun:test";
import fc from "fast-check";
import { linePath, minutesPerColumn, roundTop, toColumns } from "./chart.rules.ts";

const startMs = Date.UTC(2026, 10, 24, 12);
const minute = (index: number, requests: number) => ({
  minute: new Date(startMs + index * 60_000).toISOString(),
  requests,
  failures: 0,
  inputTokens: requests,
  outputTokens: requests,
  amount: `0.${String(requests).padStart(12, "0")}`,
  firstByteP50Ms: requests === 0 ? null : requests,
  firstByteP95Ms: null,
});

test("columns add up to exactly the minutes of the window", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(15, 60, 360, 1_440),
      fc.array(fc.nat(999_999), { maxLength: 15 }),
      (window, counts) => {
        const series = counts.map((requests, index) => minute(index, requests));
        const columns = toColumns(series, startMs + 14 * 60_000 + 59_000, window);
        const total = counts.reduce((sum, requests) => sum + requests, 0);
        expect(columns.length).toBe(window / minutesPerColumn(window));
        expect(columns.reduce((sum, column) => sum + column.requests, 0)).toBe(total);
        expect(columns.reduce((sum, column) => sum + column.amountPico, 0n)).toBe(BigInt(total));
      },
    ),
  );
});

test("columns touch, and a quiet one is zero", () => {
  const columns = toColumns([], startMs, 1_440);
  expect(
    columns.every((column, index) => index === 0 || columns[index - 1]?.to === column.from),
  ).toBe(true);
  expect(columns[0]).toMatchObject({ requests: 0, amountPico: 0n, firstByteP50Ms: null });
});

test("the top of an axis is round and never below the value", () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1e9, noNaN: true }), (value) => {
      const top = roundTop(value);
      expect(top).toBeGreaterThanOrEqual(value * 0.999);
      expect(top).toBeLessThanOrEqual(value * 10);
    }),
  );
  expect([0, 1, 3, 7, 11].map(roundTop)).toEqual([1, 1, 5, 10, 20]);
});

test("a missing value breaks the line", () => {
  expect(linePath([0, 10, null, 5], 10)).toBe("M0.5 100.00L1.5 0.00M3.1 50.00h0.8");
});
