// The load feed within one process: for tests and simulations.

import type { LoadDelta, LoadFeed } from "../../zones/routing/types.ts";

export interface LoadHub {
  /** One gateway's end. */
  join(): LoadFeed;
}

export function openLoadHub(): LoadHub {
  const ends = new Set<Set<(delta: LoadDelta) => void>>();
  return {
    join: () => {
      const listeners = new Set<(delta: LoadDelta) => void>();
      ends.add(listeners);
      return {
        publish: (delta) => {
          for (const others of ends)
            if (others !== listeners) for (const listener of others) listener(delta);
        },
        subscribe: (listener) => {
          listeners.add(listener);
          return () => void listeners.delete(listener);
        },
      };
    },
  };
}
