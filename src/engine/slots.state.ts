// The slots of one model: so many choices run at a time, so many wait in order of arrival, the rest is refused.
// Invariant: a slot is held by at most one taker, and one who leaves the queue costs nobody their turn.

export interface Slots {
  readonly running: number;
  readonly waiting: number;
  /** Whether `more` takers would still find a slot or a place in the queue. */
  hasRoomFor(more: number): boolean;
  /** Resolves with the slot's release; rejects when the signal aborts first. */
  take(signal: AbortSignal): Promise<() => void>;
}

export function openSlots(count: number, waitingMax: number): Slots {
  let running = 0;
  const queue = new Set<() => void>();
  const makeRelease = () => {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      running -= 1;
      const [next] = queue;
      next?.();
    };
  };
  return {
    get running() {
      return running;
    },
    get waiting() {
      return queue.size;
    },
    hasRoomFor: (more) => running + queue.size + more <= count + waitingMax,
    take: (signal) => {
      if (signal.aborted) return Promise.reject(signal.reason);
      if (running < count && queue.size === 0) {
        running += 1;
        return Promise.resolve(makeRelease());
      }
      const { promise, resolve, reject } = Promise.withResolvers<() => void>();
      const leave = () => {
        queue.delete(turn);
        reject(signal.reason);
      };
      const turn = () => {
        queue.delete(turn);
        signal.removeEventListener("abort", leave);
        running += 1;
        resolve(makeRelease());
      };
      queue.add(turn);
      signal.addEventListener("abort", leave, { once: true });
      return promise;
    },
  };
}
