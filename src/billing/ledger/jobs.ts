// The worker's posting loop: looks every 200 ms, at once while there is more, and less and less often while it fails.
// Invariants: it never ends by itself, whatever the database does; close() waits for the batch that runs, and starts no other.

import { errorText } from "../../kit/log.ts";
import { pause, type Pause } from "../../kit/pause.ts";
import { postSegments, type LedgerDeps, type Posted } from "./service.ts";

const EVERY_MS = 200;
const BACKOFF_MAX_MS = 10_000;
/** At most 8 MiB of segments in memory. */
const LIMITS = { batchMax: 32 };

export interface Poster {
  close(): Promise<void>;
}

async function look(deps: LedgerDeps): Promise<Posted | undefined> {
  try {
    return await postSegments(deps, LIMITS);
  } catch (error) {
    deps.log.warn("ledger.post_failed", { reason: errorText(error) });
    return undefined;
  }
}

async function run(deps: LedgerDeps, wait: Pause, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted;) {
    const posted = await look(deps);
    failures = posted?.failed === 0 ? 0 : failures + 1;
    if (!posted?.more) await wait(Math.min(EVERY_MS * 2 ** failures, BACKOFF_MAX_MS), signal);
  }
}

export function openPoster(deps: LedgerDeps, wait: Pause = pause): Poster {
  const stop = new AbortController();
  const running = run(deps, wait, stop.signal);
  return {
    close: () => {
      stop.abort();
      return running;
    },
  };
}
