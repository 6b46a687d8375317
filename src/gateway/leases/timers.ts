// The real timers behind the port, so that tests decide when time passes.
// Invariant: a timer never keeps a process alive.

import type { Timers } from "../../billing/budgets/types.ts";

export const systemTimers: Timers = {
  after: (ms, work) => {
    const timer = setTimeout(work, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
