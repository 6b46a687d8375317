// Waiting that ends early: for a time, for a bell, or because somebody wants to stop.
// Invariant: nothing is left on a signal that outlives the wait.

/** Resolves after `ms`, or as soon as `signal` is aborted. */
export type Pause = (ms: number, signal: AbortSignal) => Promise<void>;

export const pause: Pause = (ms, signal) =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });

export interface Bell {
  ring(): void;
  /** Resolves at the next ring, or as soon as `signal` is aborted. */
  heard(signal: AbortSignal): Promise<void>;
}

export function openBell(): Bell {
  let waiters: (() => void)[] = [];
  return {
    ring: () => {
      const woken = waiters;
      waiters = [];
      for (const wake of woken) wake();
    },
    heard: (signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const done = () => {
          signal.removeEventListener("abort", done);
          resolve();
        };
        waiters.push(done);
        signal.addEventListener("abort", done, { once: true });
      }),
  };
}

/** Aborted by either, or after `ms`. */
export function within(ms: number, signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ms)]);
}
