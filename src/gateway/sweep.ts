// One timer for all open streams: a thousand streams cost one wake-up a second, not a thousand.
// Invariant: a listener that was removed is never called again.

export interface Sweep {
  /** Called about once a second until the returned function is called. */
  add(listener: () => void): () => void;
  readonly size: number;
  close(): void;
}

export function openSweep(intervalMs = 1_000): Sweep {
  const listeners = new Set<() => void>();
  const timer = setInterval(() => {
    for (const listener of listeners) listener();
  }, intervalMs);
  timer.unref();
  return {
    add: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    get size() {
      return listeners.size;
    },
    close: () => clearInterval(timer),
  };
}
