// Step 8, settle: one fact per attempt into the journal, reservations settled, load released. Always runs.
// Invariant: the durable settlement comes before the caller's last byte; nothing negative or unbelieved is ever written.

import type { Fact, Quantity } from "../billing/metering/types.ts";
import { priceFact } from "../billing/prices/rules.ts";
import type { Attempt, Dispatch, GatewayDeps, Outcome } from "./types.ts";

export function factOf(
  dispatch: Dispatch,
  attempt: Attempt,
  outcome: Outcome,
  nowMonotonic: number,
): Fact {
  const { caller, plan, snapshot } = dispatch;
  const { engine } = attempt.target;
  return {
    requestId: dispatch.id,
    attempt: attempt.number,
    attemptKind: attempt.kind,
    endpoint: dispatch.endpoint,
    status: outcome.status,
    httpStatus: outcome.httpStatus,
    streamed: dispatch.reading.streamed,
    firmRef: caller.tenant.firmRef,
    organisationRef: caller.tenant.organisationRef,
    projectRef: caller.tenant.projectRef,
    keyRef: caller.key.ref,
    modelVersionRef: plan.model.modelVersionRef,
    zoneRef: engine.zoneRef,
    engineRef: engine.ref,
    priceVersionRef: plan.price.ref,
    snapshotSequence: BigInt(snapshot.sequence),
    servedTier: outcome.servedTier,
    callerJurisdiction: caller.tenant.jurisdiction,
    zoneJurisdiction: engine.zoneJurisdiction,
    startedAtMs: dispatch.startedAtMs,
    firstByteMs: outcome.firstByteMs,
    durationMs: Math.max(0, Math.round(nowMonotonic - dispatch.startedAt)),
    upstreamRequestId: outcome.upstreamRequestId,
    quantities: outcome.quantities,
  };
}

export const NOT_ANSWERED: Outcome = {
  status: "interrupted",
  httpStatus: 0,
  firstByteMs: -1,
  upstreamRequestId: "",
  servedTier: "standard",
  quantities: [],
};

/** What an answered attempt used, and the request itself where its price has a line for that. */
export function withRequest(
  { plan }: Pick<Dispatch, "plan">,
  quantities: readonly Quantity[],
): readonly Quantity[] {
  return plan.price.picoPerUnit.requests === undefined
    ? quantities
    : [...quantities, { meter: "requests", amount: 1n, source: "counted" }];
}

function tokensIn(quantities: readonly Quantity[]): bigint {
  let tokens = 0n;
  for (const { meter, amount } of quantities) if (meter.endsWith("_tokens")) tokens += amount;
  return tokens;
}

/** Gives back what was not used. Requests a minute stay used, whatever the outcome; permits come back whole. */
export function settleNeeds(
  deps: Pick<GatewayDeps, "leases">,
  dispatch: Dispatch,
  quantities: readonly Quantity[],
): void {
  if (dispatch.released) return;
  dispatch.released = true;
  for (const need of dispatch.needs) {
    if (need.resource.startsWith("requests:")) deps.leases.settle(need, need.amount);
    else if (need.resource.startsWith("streams:")) deps.leases.settle(need, 0n);
    else if (need.resource.startsWith("tokens:")) deps.leases.settle(need, tokensIn(quantities));
    else deps.leases.settle(need, priceFact(dispatch.plan.price, quantities));
  }
}

/** A failed attempt that another will follow: its own fact, nobody waits for the disk. */
export function settleAttempt(
  deps: GatewayDeps,
  dispatch: Dispatch,
  attempt: Attempt,
  outcome: Outcome,
): void {
  const fact = factOf(dispatch, attempt, outcome, deps.clock.monotonicMs());
  deps.journal.appendLazy({ type: "settle", fact });
  deps.observe.attempt(fact, attempt.target);
}

/** The last word on a request. Rejects when the journal cannot write: then the caller must not get a proper end. */
export async function settle(
  deps: GatewayDeps,
  dispatch: Dispatch,
  attempt: Attempt,
  outcome: Outcome,
): Promise<Fact> {
  const fact = factOf(dispatch, attempt, outcome, deps.clock.monotonicMs());
  try {
    await deps.journal.append({ type: "settle", fact });
    return fact;
  } finally {
    settleNeeds(deps, dispatch, outcome.quantities);
    deps.load.end(attempt.target.engine.id);
    deps.observe.attempt(fact, attempt.target);
  }
}
