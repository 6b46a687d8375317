// Which price changes are allowed. Pure.
// Invariant: a price that may already have rated a fact never changes: a version is followed, not edited, and a model that has
// prices gets new ones only from now on. The past is open only to a model without any price, of which no fact can exist.

import { refuse, type Refusal } from "../../kit/fault.ts";
import { METERS, type Meter } from "../metering/types.ts";
import { toPicoPerUnit } from "./rules.ts";
import type { NewPrice, PriceInput, PriceVersion } from "./types.ts";

/** A change typed by hand, or sent by a clock that is behind, still counts as "now". */
export const PAST_MAX_MS = 60_000;

export type PriceChange =
  | { readonly ok: true; readonly change: "add" | "none"; readonly price: NewPrice }
  | Refusal;

export function toNewPrice(input: PriceInput): NewPrice {
  const lines = Object.entries(input.perMillion).flatMap(([meter, text]) => {
    const pico = text === undefined ? undefined : toPicoPerUnit(text);
    return pico === undefined ? [] : [[meter, pico] as const];
  });
  return {
    model: input.model,
    effectiveFromMs: Date.parse(input.effectiveFrom),
    source: input.source,
    picoPerUnit: Object.fromEntries(lines),
  };
}

function haveSameLines(left: NewPrice, right: NewPrice): boolean {
  return METERS.every((meter) => left.picoPerUnit[meter] === right.picoPerUnit[meter]);
}

/** A line that every request uses, or that its parts are a part of, would cost nothing if it were left out: zero has to be said. */
function missingLine({ picoPerUnit }: NewPrice): Meter | undefined {
  if (picoPerUnit.input_tokens === undefined) return "input_tokens";
  const hasOutput =
    picoPerUnit.reasoning_tokens !== undefined || picoPerUnit.audio_output_tokens !== undefined;
  return hasOutput && picoPerUnit.output_tokens === undefined ? "output_tokens" : undefined;
}

/** `existing`: all versions of the input's model that are stored. `none`: the same version is there already. */
export function judgePrice(
  existing: readonly PriceVersion[],
  input: PriceInput,
  nowMs: number,
): PriceChange {
  const price = toNewPrice(input);
  if (Object.keys(price.picoPerUnit).length === 0)
    return refuse("request.invalid", "a price names at least one meter", { field: "perMillion" });
  const missing = missingLine(price);
  if (missing !== undefined)
    return refuse("request.invalid", `without a price for ${missing} those would cost nothing`, {
      field: `perMillion.${missing}`,
      hint: `if that is meant, say "0"`,
    });
  const same = existing.find((version) => version.effectiveFromMs === price.effectiveFromMs);
  if (same)
    return haveSameLines(same, price)
      ? { ok: true, change: "none", price }
      : refuse("change.conflict", `${input.model} has another price from that very instant`, {
          field: "effectiveFrom",
          hint: "a price is never changed: set a new one with a later date",
        });
  if (existing.length > 0 && price.effectiveFromMs < nowMs - PAST_MAX_MS)
    return refuse(
      "request.invalid",
      `${input.model} has prices, so a new one cannot begin in the past`,
      {
        field: "effectiveFrom",
        hint: "requests may have been rated since: let it begin now or later",
      },
    );
  return { ok: true, change: "add", price };
}
