// One timer for all open streams: a thousand streams cost one wake-up a second, not a thousand.
// Invariant: a stream that was removed is never called again.

export interface Swept {
  /** Called about once a second. */
  tick(): void;
  /** The gateway stops now: end, and settle. */
  cut(): Promise<void>;
}

export interface Sweep {
  /** Swept until the returned function is called. */
  add(swept: Swept): () => void;
  readonly size: number;
  /** Resolves when all that were open are settled. */
  cutAll(): Promise<void>;
  close(): void;
}

export function openSweep(intervalMs = 1_000): Sweep {
  const open = new Set<Swept>();
  const timer = setInterval(() => {
    for (const swept of open) swept.tick();
  }, intervalMs);
  timer.unref();
  return {
    add: (swept) => {
      open.add(swept);
      return () => void open.delete(swept);
    },
    get size() {
      return open.size;
    },
    cutAll: async () => void (await Promise.all([...open].map((swept) => swept.cut()))),
    close: () => clearInterval(timer),
  };
}
