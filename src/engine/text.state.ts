// Holds back the end of a growing text while it may still turn into a stop sequence. Synchronous.
// Invariant: nothing of a stop sequence, and nothing after it, is ever given out; everything before it is, exactly once.

export interface StopWatch {
  /** What may be given out now. */
  push(text: string): string;
  readonly stopped: boolean;
  /** What was held back, once nothing more comes. */
  rest(): string;
}

/** How many characters at the end of `text` are the beginning of `stop`, at most all but one of it. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length -= 1) {
    if (stop.startsWith(text.slice(text.length - length))) return length;
  }
  return 0;
}

export function watchStops(stops: readonly string[]): StopWatch {
  let held = "";
  let stopped = false;
  return {
    get stopped() {
      return stopped;
    },
    push: (text) => {
      if (stopped) return "";
      held += text;
      const ends = stops.map((stop) => held.indexOf(stop)).filter((at) => at >= 0);
      if (ends.length > 0) {
        stopped = true;
        const free = held.slice(0, Math.min(...ends));
        held = "";
        return free;
      }
      const keep = Math.max(0, ...stops.map((stop) => overlap(held, stop)));
      const free = held.slice(0, held.length - keep);
      held = held.slice(held.length - keep);
      return free;
    },
    rest: () => {
      const left = held;
      held = "";
      return left;
    },
  };
}
