// Arithmetic of the charts: columns out of minutes, a round top for the axis, a path with gaps. Pure.

import type { OverviewMinute } from "../api.types.ts";
import { toPico } from "../format.ts";

/** More columns than this are thinner than a reader can point at. */
const COLUMNS_MAX = 96;

export interface Column {
  readonly from: string;
  readonly to: string;
  readonly requests: number;
  readonly failures: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly amountPico: bigint;
  readonly firstByteP50Ms: number | null;
  readonly firstByteP95Ms: number | null;
}

export function minutesPerColumn(minutes: number): number {
  return [1, 5, 15, 30, 60].find((step) => minutes / step <= COLUMNS_MAX) ?? 60;
}

/** A column for every step of the window that ends with the last whole minute; steps without requests are zero, not absent. */
export function toColumns(
  series: readonly OverviewMinute[],
  asOfMs: number,
  minutes: number,
): Column[] {
  const stepMs = minutesPerColumn(minutes) * 60_000;
  const lastMs = Math.floor(asOfMs / stepMs) * stepMs;
  const count = Math.ceil((minutes * 60_000) / stepMs);
  const byStep = Map.groupBy(
    series,
    (minute) => Math.floor(Date.parse(minute.minute) / stepMs) * stepMs,
  );
  return Array.from({ length: count }, (_, index) => {
    const fromMs = lastMs - (count - 1 - index) * stepMs;
    return toColumn(fromMs, fromMs + stepMs, byStep.get(fromMs) ?? []);
  });
}

function toColumn(fromMs: number, toMs: number, minutes: readonly OverviewMinute[]): Column {
  const sum = (read: (minute: OverviewMinute) => number) =>
    minutes.reduce((total, minute) => total + read(minute), 0);
  return {
    from: new Date(fromMs).toISOString(),
    to: new Date(toMs).toISOString(),
    requests: sum((minute) => minute.requests),
    failures: sum((minute) => minute.failures),
    inputTokens: sum((minute) => minute.inputTokens),
    outputTokens: sum((minute) => minute.outputTokens),
    amountPico: minutes.reduce((total, minute) => total + toPico(minute.amount), 0n),
    firstByteP50Ms: worst(minutes.map((minute) => minute.firstByteP50Ms)),
    firstByteP95Ms: worst(minutes.map((minute) => minute.firstByteP95Ms)),
  };
}

/** Percentiles of minutes cannot be added up; a wider column shows its worst minute and says so. */
function worst(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}

/** The next of 1, 2, 5 times a power of ten. */
export function roundTop(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 5, 10].find((step) => step * power >= value * 0.9999) ?? 10) * power;
}

/** One unit of width a column, `top` is 0 and the base is 100; a null breaks the line. A lone value is a dash in its column. */
export function linePath(values: readonly (number | null)[], top: number): string {
  const isThere = (index: number) => (values[index] ?? null) !== null;
  return values
    .map((value, index) => {
      if (value === null) return "";
      const height = (100 - (100 * value) / top).toFixed(2);
      if (!isThere(index - 1) && !isThere(index + 1)) return `M${index + 0.1} ${height}h0.8`;
      return `${isThere(index - 1) ? "L" : "M"}${index + 0.5} ${height}`;
    })
    .join("");
}
