// What to do with a segment that a gateway ships: the one place that decides exactly-once, by a gapless, digest-linked sequence.
// Invariant: a sequence number is taken once; the same bytes again are a duplicate, other bytes a fork.

import type { SegmentHeader } from "../metering/types.ts";
import type { LaneCursor } from "./types.ts";

export type Arrival = "take" | "duplicate" | "gap" | "fork" | "fenced";

/** `known`: the digest that is stored under this sequence number, if it was received before. */
export function judgeArrival(
  cursor: LaneCursor,
  header: Pick<SegmentHeader, "sequence" | "epoch" | "previousDigest">,
  digest: string,
  known: string | undefined,
): Arrival {
  if (header.sequence <= cursor.received) return known === digest ? "duplicate" : "fork";
  if (header.sequence > cursor.received + 1) return "gap";
  if (header.epoch < cursor.epoch) return "fenced";
  return header.previousDigest === cursor.receivedDigest ? "take" : "fork";
}
