// The worker's posting loop: looks every 200 ms, at once while there is more, and less and less often while it fails.
// Invariants: it never ends by itself, whatever the database does; close() waits for the batch that runs, and starts no other.

import { errorText } from "../../kit/log.ts";
import { postSegments, type LedgerDeps, type Posted } from "./service.ts";

const EVERY_MS = 200;
const BACKOFF_MAX_MS = 10_000;
/** At most 8 MiB of segments in memory. */
const LIMITS = { batchMax: 32 };

/** Resolves after so long, and at once when the signal says so. */
export type Pause = (ms: number, signal: AbortSignal) => Promise<void>;

export interface Poster {
  close(): Promise<void>;
}

const pauseFor: Pause = (ms, signal) =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });

async function look(deps: LedgerDeps): Promise<Posted | undefined> {
  try {
    return await postSegments(deps, LIMITS);
  } catch (error) {
    deps.log.warn("ledger.post_failed", { reason: errorText(error) });
    return undefined;
  }
}

async function run(deps: LedgerDeps, pause: Pause, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted;) {
    const posted = await look(deps);
    failures = posted?.failed === 0 ? 0 : failures + 1;
    if (!posted?.more) await pause(Math.min(EVERY_MS * 2 ** failures, BACKOFF_MAX_MS), signal);
  }
}

export function openPoster(deps: LedgerDeps, pause: Pause = pauseFor): Poster {
  const stop = new AbortController();
  const running = run(deps, pause, stop.signal);
  return {
    close: () => {
      stop.abort();
      return running;
    },
  };
}
