// Price arithmetic: exact, in pico-dollars. Pure.
// Invariant: a meter without a line of its own costs what the meter it is a part of costs, never zero by accident;
// a version without an input or output line therefore prices those at zero only if it says so.

import type { Meter, Quantity } from "../metering/types.ts";
import type { PriceVersion } from "./types.ts";

/** What a meter falls back to: cached and written input is input, reasoning is output. */
const PART_OF: Readonly<Partial<Record<Meter, Meter>>> = {
  cached_input_tokens: "input_tokens",
  cache_write_tokens: "input_tokens",
  audio_input_tokens: "input_tokens",
  reasoning_tokens: "output_tokens",
  audio_output_tokens: "output_tokens",
};

const PER_MILLION = /^(\d{1,9})(?:\.(\d{1,6}))?$/;

/** '2.50' dollars a million units → 2500000n pico-dollars a unit; undefined when it is no such decimal. */
export function toPicoPerUnit(perMillion: string): bigint | undefined {
  const match = PER_MILLION.exec(perMillion);
  if (!match) return undefined;
  return BigInt(match[1] ?? "0") * 1_000_000n + BigInt((match[2] ?? "").padEnd(6, "0"));
}

/** 2500000n → '2.5'. */
export function toPerMillion(picoPerUnit: bigint): string {
  const fraction = (picoPerUnit % 1_000_000n).toString().padStart(6, "0").replace(/0+$/, "");
  return `${picoPerUnit / 1_000_000n}${fraction === "" ? "" : `.${fraction}`}`;
}

/** Pico-dollars a unit; 0 for a meter that neither has a line nor is part of one that has (`requests`, say). */
export function meterPrice(version: PriceVersion, meter: Meter): bigint {
  const own = version.picoPerUnit[meter];
  if (own !== undefined) return own;
  const whole = PART_OF[meter];
  return whole === undefined ? 0n : (version.picoPerUnit[whole] ?? 0n);
}

/** Quantities are disjoint (cached input is not counted in input again), so the sum is exact. */
export function priceFact(version: PriceVersion, quantities: readonly Quantity[]): bigint {
  let amountPico = 0n;
  for (const { meter, amount } of quantities) amountPico += amount * meterPrice(version, meter);
  return amountPico;
}

function dearest(version: PriceVersion, meters: readonly Meter[]): bigint {
  let most = 0n;
  for (const meter of meters) {
    const price = meterPrice(version, meter);
    if (price > most) most = price;
  }
  return most;
}

const INPUT: readonly Meter[] = [
  "input_tokens",
  "cached_input_tokens",
  "cache_write_tokens",
  "audio_input_tokens",
];
const OUTPUT: readonly Meter[] = ["output_tokens", "reasoning_tokens", "audio_output_tokens"];

/** The most that one request of at most so many tokens can cost, whatever pools they fall in. */
export function ceilingPico(
  version: PriceVersion,
  inputTokensMax: bigint,
  outputTokensMax: bigint,
): bigint {
  return (
    inputTokensMax * dearest(version, INPUT) +
    outputTokensMax * dearest(version, OUTPUT) +
    meterPrice(version, "requests")
  );
}

/** The last version that began by then; order of the list does not matter. */
export function priceInForce(
  versions: readonly PriceVersion[],
  atMs: number,
): PriceVersion | undefined {
  let found: PriceVersion | undefined;
  for (const version of versions) {
    const began = version.effectiveFromMs <= atMs;
    if (began && (found === undefined || version.effectiveFromMs > found.effectiveFromMs))
      found = version;
  }
  return found;
}
