// For tests: a clock and timers that a test moves by hand, with everything that a moment sets off done before the next moment.
// Invariant: timers fire in the order of their times, each at its own time.

import type { Timers } from "../../src/billing/budgets/types.ts";
import type { Clock } from "../../src/kit/clock.ts";

export interface FakeTime {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Until nothing is left to do at this moment. */
  settle(): Promise<void>;
  advance(ms: number): Promise<void>;
}

const START_MS = 1_764_000_000_000;

/** `isBusy`: real work (a database call) is under way and has to be waited for. */
export function openFakeTime(isBusy: () => boolean = () => false): FakeTime {
  // Set, never added to: a sum that rounds down would leave a timer just short of its time for ever.
  let atMs = 0;
  const clock: Clock = { nowMs: () => START_MS + atMs, monotonicMs: () => atMs };
  const waiting = new Set<{ readonly atMs: number; readonly work: () => void }>();
  const settle = async () => {
    do await new Promise<void>((resolve) => void setImmediate(resolve));
    while (isBusy());
  };
  const next = (untilMs: number) => {
    let first: { readonly atMs: number; readonly work: () => void } | undefined;
    for (const timer of waiting)
      if (timer.atMs <= untilMs && timer.atMs < (first?.atMs ?? Infinity)) first = timer;
    return first;
  };
  return {
    clock,
    settle,
    timers: {
      after: (ms, work) => {
        const timer = { atMs: atMs + ms, work };
        waiting.add(timer);
        return () => void waiting.delete(timer);
      },
    },
    advance: async (ms) => {
      const untilMs = atMs + ms;
      await settle();
      for (let timer = next(untilMs); timer; timer = next(untilMs)) {
        atMs = Math.max(atMs, timer.atMs);
        waiting.delete(timer);
        timer.work();
        await settle();
      }
      atMs = untilMs;
    },
  };
}
