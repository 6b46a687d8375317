// The request walk: one call a step, all the branching of a request. docs/walk.md draws it.
// Invariant: every later step reads the one snapshot taken here.

import { FAULTS, isFault, refuse, type Refusal } from "../kit/fault.ts";
import { makeId } from "../kit/id.ts";
import { errorText } from "../kit/log.ts";
import { admit } from "./admit.ts";
import { errorResponse } from "./dialects/openai/errors.ts";
import { forward } from "./forward.ts";
import { readBody, readRequest } from "./read.ts";
import { relayStream } from "./relay-stream.ts";
import { relayWhole } from "./relay.ts";
import { judgeCap, needsOf, toLimitRefusal } from "./reserve.ts";
import { route } from "./route.ts";
import { settleNeeds } from "./settle.ts";
import type { Sweep } from "./sweep.ts";
import type { Arrival, Dispatch, Exchange, GatewayDeps } from "./types.ts";

async function dispatchAndRelay(
  deps: GatewayDeps,
  dispatch: Dispatch,
  sweep: Sweep,
): Promise<Response | Refusal> {
  const answered = await forward(deps, dispatch);
  if (!answered.ok) return answered;
  const streams = dispatch.reading.streamed && !answered.answer.refusal;
  return streams
    ? relayStream(deps, dispatch, answered, sweep)
    : relayWhole(deps, dispatch, answered);
}

async function steps(
  deps: GatewayDeps,
  exchange: Exchange,
  sweep: Sweep,
): Promise<Response | Refusal> {
  const { request, snapshot } = exchange;
  const caller = admit(snapshot, request.headers, deps.tokenHmac, exchange.startedAtMs);
  if (!caller.ok) return caller;
  const body = await readBody(request, deps.limits);
  if (!(body instanceof Uint8Array)) return body;
  const reading = readRequest(body, exchange.endpoint);
  if (!reading.ok) return reading;
  const plan = route(
    snapshot,
    caller.tenant,
    { endpoint: exchange.endpoint, name: reading.model },
    deps.load,
    { wallMs: exchange.startedAtMs, monotonicMs: exchange.startedAt },
    deps.dice.next,
  );
  if (!plan.ok) return plan;
  const tooMuch = judgeCap(plan, reading);
  if (tooMuch) return tooMuch;
  const needs = needsOf(caller, plan, reading, exchange.startedAtMs);
  const reserved = needs.length === 0 ? true : deps.leases.reserve(needs);
  const granted = reserved === true ? true : await reserved;
  if (granted !== true) return toLimitRefusal(granted, needs);
  const dispatch: Dispatch = { ...exchange, caller, reading, plan, needs, released: false };
  try {
    return await dispatchAndRelay(deps, dispatch, sweep);
  } catch (error) {
    settleNeeds(deps, dispatch, []);
    throw error;
  }
}

/** Anything thrown is a fault of ours: told in the log, and to the caller without its details unless it was made for them. */
function toFailure(deps: GatewayDeps, exchange: Exchange, error: unknown): Refusal {
  if (isFault(error)) {
    const { code, message, retryAfterSeconds = 2 } = error;
    return refuse(code, message, { retryAfterSeconds });
  }
  deps.log.error("walk.failed", { requestId: exchange.id, reason: errorText(error) });
  const code = deps.journal.healthy ? "internal" : "service.draining";
  return refuse(code, "This gateway cannot serve the request now.", { retryAfterSeconds: 2 });
}

export async function walk(deps: GatewayDeps, arrival: Arrival, sweep: Sweep): Promise<Response> {
  const id = makeId("req", deps.clock, deps.dice);
  const snapshot = deps.snapshot();
  if (snapshot === undefined) {
    const why = "This gateway has no current configuration.";
    arrival.rest();
    return errorResponse(refuse("snapshot.too_old", why, { retryAfterSeconds: 5 }), id);
  }
  const startedAtMs = deps.clock.nowMs();
  const startedAt = deps.clock.monotonicMs();
  const { endpoint, request, rest } = arrival;
  const exchange: Exchange = { id, endpoint, request, rest, snapshot, startedAtMs, startedAt };
  const result = await steps(deps, exchange, sweep).catch((error: unknown) =>
    toFailure(deps, exchange, error),
  );
  if (result instanceof Response) return result;
  rest();
  const { code } = result;
  deps.observe.ended({ exchange, httpStatus: FAULTS[code], code, events: 0, chunks: 0 });
  return errorResponse(result, id);
}
