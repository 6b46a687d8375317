// For tests: a clock and timers that a test moves by hand, with everything that a moment sets off done before the next moment.
// Invariant: timers fire in the order of their times, each at its own time.

import type { Timers } from "../../src/billing/budgets/types.ts";
import { manualClock, type Clock } from "../../src/kit/clock.ts";

export interface FakeTime {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Until nothing is left to do at this moment. */
  settle(): Promise<void>;
  advance(ms: number): Promise<void>;
}

/** `isBusy`: real work (a database call) is under way and has to be waited for. */
export function openFakeTime(isBusy: () => boolean = () => false): FakeTime {
  const clock = manualClock();
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
        const timer = { atMs: clock.monotonicMs() + ms, work };
        waiting.add(timer);
        return () => void waiting.delete(timer);
      },
    },
    advance: async (ms) => {
      const untilMs = clock.monotonicMs() + ms;
      await settle();
      for (let timer = next(untilMs); timer; timer = next(untilMs)) {
        clock.advance(Math.max(0, timer.atMs - clock.monotonicMs()));
        waiting.delete(timer);
        timer.work();
        await settle();
      }
      clock.advance(untilMs - clock.monotonicMs());
    },
  };
}
