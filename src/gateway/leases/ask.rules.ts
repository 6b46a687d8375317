// What to ask the giver for: for the requests that wait, and ahead of need. Pure.
// Invariant: of a scarce balance each waiting request asks for itself, so that one which fits is not refused with one which does not.

import type { LeaseAsk, LeaseResource } from "../../billing/budgets/types.ts";
import type { Slice } from "./slice.state.ts";
import type { Need } from "./types.ts";

/** About so many seconds of demand are kept in hand. */
const AHEAD_SECONDS = 2n;
export const ASKS_MAX = 900;

const max = (left: bigint, right: bigint) => (left > right ? left : right);
const min = (left: bigint, right: bigint) => (left < right ? left : right);

interface Shortage {
  readonly slice: Slice;
  readonly asks: bigint[];
}

/** Earlier requests have the first claim on what is free. */
function shortagesOf(
  waiting: Iterable<readonly Need[]>,
  sliceOf: (resource: LeaseResource) => Slice,
  nowMs: number,
): Shortage[] {
  const claimed = new Map<Slice, bigint>();
  const shortages = new Map<Slice, Shortage>();
  let count = 0;
  for (const needs of waiting) {
    for (const { resource, amount } of needs) {
      const slice = sliceOf(resource);
      const claims = (claimed.get(slice) ?? 0n) + amount;
      claimed.set(slice, claims);
      const missing = claims - slice.free(nowMs);
      if (missing <= 0n) continue;
      const shortage = shortages.get(slice) ?? { slice, asks: [] };
      // A debt of earlier requests is for the first to make up.
      const asked = shortage.asks.length === 0 ? missing : min(missing, amount);
      if (!slice.mayAsk(asked, nowMs)) continue;
      shortages.set(slice, shortage);
      shortage.asks.push(asked);
      count += 1;
    }
    if (count >= ASKS_MAX) break;
  }
  return [...shortages.values()];
}

export interface PlannedAsk extends LeaseAsk {
  readonly slice: Slice;
  /** Somebody waits for it. */
  readonly isWaited: boolean;
}

const toAhead = (slice: Slice) => AHEAD_SECONDS * slice.demand;

export function planAsks(
  waiting: Iterable<readonly Need[]>,
  low: Iterable<Slice>,
  sliceOf: (resource: LeaseResource) => Slice,
  nowMs: number,
): PlannedAsk[] {
  const shortages = shortagesOf(waiting, sliceOf, nowMs);
  const asked = new Set(shortages.map(({ slice }) => slice));
  const waited = shortages.flatMap(({ slice, asks: [first = 0n, ...others] }): PlannedAsk[] => {
    const { resource } = slice;
    const ask = { slice, resource, isWaited: true };
    if (slice.isScarce) return [first, ...others].map((need) => ({ ...ask, need, want: need }));
    const all = others.reduce((sum, need) => sum + need, first);
    return [{ ...ask, need: first, want: all + toAhead(slice) }];
  });
  const ahead = [...low].flatMap((slice): PlannedAsk[] => {
    const debt = max(0n, -slice.free(nowMs));
    if (asked.has(slice) || slice.aheadAtMs > nowMs || (slice.isScarce && debt === 0n)) return [];
    const { resource } = slice;
    // Of the size of a request, since the giver judges by it whether the balance is scarce.
    const need = debt > 0n ? debt : slice.typical;
    return [{ slice, resource, need, want: max(need, debt + toAhead(slice)), isWaited: false }];
  });
  return [...waited, ...ahead].slice(0, ASKS_MAX);
}
