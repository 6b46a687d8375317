// Which price version is in force, which is planned and which is past. Pure: the instant comes as an argument.

import type { Price } from "../api.types.ts";

export interface Dated {
  readonly price: Price;
  readonly standing: "in force" | "planned" | "past";
}

/** Newest first; of the versions that have begun, the newest is in force. */
export function datedOf(prices: readonly Price[], nowMs: number): Dated[] {
  const sorted = prices.toSorted(
    (a, b) =>
      a.model.localeCompare(b.model) || Date.parse(b.effectiveFrom) - Date.parse(a.effectiveFrom),
  );
  const seen = new Set<string>();
  return sorted.map((price) => {
    if (Date.parse(price.effectiveFrom) > nowMs) return { price, standing: "planned" };
    if (seen.has(price.model)) return { price, standing: "past" };
    seen.add(price.model);
    return { price, standing: "in force" };
  });
}
