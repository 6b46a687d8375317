// For tests of the journal: a fact in which nothing is special but its request.

import type { Fact } from "../../billing/metering/types.ts";
import type { RequestId } from "../../kit/id.ts";

export function plainFact(requestId: RequestId, more: Partial<Fact> = {}): Fact {
  return {
    requestId,
    attempt: 1,
    attemptKind: "first",
    endpoint: "chat",
    status: "ok",
    httpStatus: 200,
    streamed: true,
    firmRef: 1,
    organisationRef: 1,
    projectRef: 1,
    keyRef: 1,
    modelVersionRef: 1,
    zoneRef: 1,
    engineRef: 1,
    priceVersionRef: 1,
    snapshotSequence: 1n,
    servedTier: "standard",
    callerJurisdiction: "ZZ",
    zoneJurisdiction: "ZZ",
    startedAtMs: 1,
    firstByteMs: -1,
    durationMs: 1,
    upstreamRequestId: "",
    quantities: [],
    ...more,
  };
}
