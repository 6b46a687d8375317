// Work that is done again and again: one look at a time, the next a while after the last one ended.
// Invariants: no failure ends the loop; a look that takes long is never queued behind itself; after close() nothing runs.

import { pause } from "./pause.ts";

export interface Loop {
  /** Lets the look under way end; starts no other. */
  close(): Promise<void>;
}

async function run(
  look: () => Promise<unknown>,
  everyMs: number,
  onError: (error: unknown) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await look();
    } catch (error) {
      onError(error);
    }
    await pause(everyMs, signal);
  }
}

/** Looks at once, and `everyMs` after each look. */
export function openLoop(
  look: () => Promise<unknown>,
  everyMs: number,
  onError: (error: unknown) => void,
): Loop {
  const stop = new AbortController();
  const running = run(look, everyMs, onError, stop.signal);
  return {
    close: () => {
      stop.abort();
      return running;
    },
  };
}
