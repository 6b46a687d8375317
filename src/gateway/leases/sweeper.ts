// Gives home what lies idle: of scarce balances at once, of others when nobody has asked for long; and forgets what is empty.
// Invariant: a tick looks at all scarce slices and at a bounded number of the others, however many there are.

import type { LeaseGive, LeaseResource, Timers } from "../../billing/budgets/types.ts";
import type { Clock } from "../../kit/clock.ts";
import type { Slice } from "./slice.state.ts";

export interface SweeperDeps {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly slices: Map<LeaseResource, Slice>;
  readonly isWaitedFor: (slice: Slice) => boolean;
  readonly give: (gives: readonly LeaseGive[]) => void;
  readonly onTick: () => void;
}

const TICK_MS = 250;
const LOOKED_AT_MAX = 2_000;
/** Windows and permits stay longer, because a gateway that is cut off lives on what it has in hand. */
const IDLE_MS = { window: 300_000, permits: 300_000, spend: 60_000 } as const;
/** A past month's used sum is forgotten when surely all of it has been posted. */
const PAST_MONTH_KEPT_MS = 86_400_000;

const monthOf = (nowMs: number) => new Date(nowMs).toISOString().slice(0, 7);

/** Whether forgetting it loses nothing that the giver has to be told in a later session. */
function isOver(slice: Slice, idleMs: number, month: string): boolean {
  if (slice.busy > 0n) return false;
  if (slice.kind !== "spend" || slice.spent === 0n) return slice.held === 0n && slice.spent === 0n;
  return idleMs > PAST_MONTH_KEPT_MS && !slice.resource.endsWith(month);
}

export function openSweeper(deps: SweeperDeps): { close(): void } {
  const { clock, timers, slices, isWaitedFor, give, onTick } = deps;
  let walk = slices.values();
  let scarce = new Set<Slice>();
  let cancel = () => {};

  const lookAt = (slice: Slice, nowMs: number, month: string): LeaseGive[] => {
    const idleMs = nowMs - slice.usedAtMs;
    const isIdle = slice.isScarce || idleMs > IDLE_MS[slice.kind];
    if (!isIdle || isWaitedFor(slice)) return [];
    const amount = slice.takeIdle(nowMs);
    if (idleMs > IDLE_MS[slice.kind] && isOver(slice, idleMs, month)) slices.delete(slice.resource);
    return amount > 0n ? [{ resource: slice.resource, amount }] : [];
  };

  /** The next few of all, round and round. */
  const some = (): Slice[] => {
    const looked: Slice[] = [];
    while (looked.length < LOOKED_AT_MAX) {
      const { value, done } = walk.next();
      if (done === true) {
        walk = slices.values();
        break;
      }
      looked.push(value);
    }
    return looked;
  };

  const tick = () => {
    onTick();
    const nowMs = clock.monotonicMs();
    const month = monthOf(clock.nowMs());
    const looked = new Set([...scarce, ...some()]);
    const gives = [...looked].flatMap((slice) => lookAt(slice, nowMs, month));
    scarce = new Set(
      [...looked].filter(({ isScarce, resource }) => isScarce && slices.has(resource)),
    );
    if (gives.length > 0) give(gives);
    cancel = timers.after(TICK_MS, tick);
  };
  cancel = timers.after(TICK_MS, tick);
  return { close: () => cancel() };
}
