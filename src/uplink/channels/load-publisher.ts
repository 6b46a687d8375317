// Tells the feed what this gateway has open, when it changed and before it expires.
// Invariant: an idle gateway says nothing, and a busy one at most ten times a second.

import type { Clock } from "../../kit/clock.ts";
import type { LoadFeed } from "../../zones/routing/types.ts";

export interface LoadPublisherDeps {
  readonly feed: Pick<LoadFeed, "publish">;
  /** LoadLedger.own. */
  readonly own: () => Readonly<Record<string, number>>;
  readonly cell: string;
  readonly gateway: string;
  readonly epoch: () => number;
  readonly clock: Pick<Clock, "monotonicMs">;
}

export interface LoadPublisher {
  /** Looks once; called by a timer. */
  tick(): void;
  close(): void;
}

const EVERY_MS = 100;
/** What a gateway last said counts for so long after its death. */
const EXPIRES_IN_MS = 2_000;

export function openLoadPublisher(deps: LoadPublisherDeps): LoadPublisher {
  const { feed, own, cell, gateway, epoch, clock } = deps;
  let sequence = 0;
  let said = "{}";
  let saidAtMs = 0;
  const tick = () => {
    const inFlight = own();
    const text = JSON.stringify(inFlight);
    const nowMs = clock.monotonicMs();
    const stale = text !== "{}" && nowMs - saidAtMs >= EXPIRES_IN_MS / 2;
    if (text === said && !stale) return;
    said = text;
    saidAtMs = nowMs;
    sequence += 1;
    feed.publish({
      cell,
      gateway,
      epoch: epoch(),
      sequence,
      expiresInMs: EXPIRES_IN_MS,
      inFlight,
    });
  };
  const timer = setInterval(tick, EVERY_MS);
  return { tick, close: () => clearInterval(timer) };
}
