// How the console writes numbers, money, durations and times, the same on every page.
// Invariant: money stays exact (pico-units) until the last step, and every time is shown in the one reporting zone.

import { formatUsd, parseDecimal } from "../src/kit/money.ts";

const LOCALE = "en-GB";
/** A number and its unit stay on one line. */
const NBSP = "\u00a0";
const whole = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(LOCALE, {
  style: "percent",
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});

export const count = (value: number) => whole.format(value);
/** 12,340 → `12.3K`; the exact figure belongs in a title. */
export const short = (value: number) =>
  Math.abs(value) < 10_000 ? count(value) : compact.format(value);
export const share = (part: number, all: number) =>
  all === 0 ? "0.0%" : percent.format(part / all);

export const toPico = (dollars: string) => parseDecimal(dollars) ?? 0n;

const grouped = (dollars: string) =>
  dollars.replace(/\d+/, (digits) => whole.format(BigInt(digits)));

/** An amount that stands alone: `$0.09`, `$0.159225`, `$1,204.50`. */
export function usd(amountPico: bigint): string {
  return grouped(formatUsd(amountPico)).replace(/(\.\d\d\d*?)0+$/, "$1");
}
export const money = (dollars: string) => usd(toPico(dollars));

const PICO = 1_000_000_000_000n;

/** Amounts that stand under each other keep the same places: six while all are below a dollar, else two. */
export function moneyColumn(amountsPico: readonly bigint[]): (amountPico: bigint) => string {
  const places = amountsPico.every((amount) => amount < PICO) ? 6 : 2;
  const unit = 10n ** BigInt(12 - places);
  return (amountPico) => {
    if (amountPico === 0n) return "$0";
    if (amountPico < unit) return `<$${(10 ** -places).toFixed(places)}`;
    const rounded = ((amountPico + unit / 2n) / unit).toString().padStart(places + 1, "0");
    return grouped(`$${rounded.slice(0, -places)}.${rounded.slice(-places)}`);
  };
}

export function duration(ms: number | null): string {
  if (ms === null || ms < 0) return "–";
  if (ms < 1_000) return `${Math.round(ms)}${NBSP}ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 2 : 1)}${NBSP}s`;
  return `${Math.floor(ms / 60_000)}${NBSP}min ${Math.round((ms % 60_000) / 1_000)}${NBSP}s`;
}

export function bytes(value: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let [amount, unit] = [value, 0];
  while (amount >= 1_000 && unit < units.length - 1) {
    amount /= 1_000;
    unit += 1;
  }
  return `${amount.toFixed(unit === 0 ? 0 : 1)} ${units[unit] ?? ""}`;
}

const FORMATS = {
  time: { hour: "2-digit", minute: "2-digit" },
  clock: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  day: { day: "numeric", month: "short", year: "numeric" },
  date: { day: "numeric", month: "short" },
  moment: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" },
  full: { dateStyle: "full", timeStyle: "long" },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>;
export type TimeStyle = keyof typeof FORMATS;

const formatters = new Map<string, Intl.DateTimeFormat>();

export function when(at: string | number, style: TimeStyle, timeZone: string): string {
  const name = `${style} ${timeZone}`;
  let formatter = formatters.get(name);
  if (!formatter) {
    formatter = new Intl.DateTimeFormat(LOCALE, { ...FORMATS[style], timeZone, hourCycle: "h23" });
    formatters.set(name, formatter);
  }
  return formatter.format(new Date(at));
}

export function ago(at: string, nowMs: number): string {
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(at)) / 1_000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** `output_tokens` → `output tokens`. */
export const words = (name: string) => name.replaceAll(/[_-]/g, " ");
/** An id is read by its last characters; the whole stands in the title and in what is copied. */
export const tail = (id: string) => {
  const cut = id.indexOf("_");
  return cut < 0 || id.length < 16 ? id : `${id.slice(0, cut + 1)}…${id.slice(-6)}`;
};
