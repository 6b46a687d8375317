// Step 7, relay, whole answers: read within bounds, usage taken from them, out only after the settlement is on disk.
// Invariant: an answer that is cut, stalled, too large or no JSON object is a failure of the upstream, never passed on.

import type { Quantity } from "../billing/metering/types.ts";
import { refuse, type Refusal } from "../kit/fault.ts";
import { errorText } from "../kit/log.ts";
import {
  estimateOutput,
  estimateQuantities,
  fillGaps,
  findServedTier,
  findUsage,
  toQuantities,
} from "./dialects/openai/usage.rules.ts";
import type { Answered } from "./forward.ts";
import { readBounded } from "./read.ts";
import { limitHeaders } from "./reserve.ts";
import { NOT_ANSWERED, settle, withRequest } from "./settle.ts";
import type { Dispatch, GatewayDeps, Outcome } from "./types.ts";

const UPSTREAM_ID = "x-request-id";

export const upstreamIdOf = (answered: Answered) =>
  answered.answer.response.headers.get(UPSTREAM_ID) ?? "";

export function relayHeaders(
  deps: GatewayDeps,
  dispatch: Dispatch,
  answered: Answered,
): Record<string, string> {
  const headers = limitHeaders(deps.leases, dispatch.needs);
  headers["content-type"] =
    answered.answer.response.headers.get("content-type") ?? "application/json";
  headers["x-request-id"] = dispatch.id;
  if (answered.attempt.number > 1) headers["x-intertie-attempts"] = String(answered.attempt.number);
  return headers;
}

/** What the upstream told, as far as it can be believed, and what we saw for the rest; `seen` is asked only where it is needed. */
function believed(
  deps: GatewayDeps,
  dispatch: Dispatch,
  usage: unknown,
  seen: () => readonly Quantity[],
): readonly Quantity[] {
  const told = usage === undefined ? undefined : toQuantities(usage);
  if (told === undefined) {
    if (usage !== undefined)
      deps.log.warn("upstream.usage_not_believed", { requestId: dispatch.id });
    return seen();
  }
  return fillGaps(told, dispatch.endpoint !== "embeddings", seen);
}

/** All that an answered attempt is billed for. */
export function quantitiesOf(
  deps: GatewayDeps,
  dispatch: Dispatch,
  usage: unknown,
  seen: () => readonly Quantity[],
): readonly Quantity[] {
  return withRequest(dispatch, believed(deps, dispatch, usage, seen));
}

type Bytes = Uint8Array<ArrayBuffer>;

const tooLarge = () => refuse("upstream.too_large", "The upstream's answer is too large.");

async function readAnswer(deps: GatewayDeps, answered: Answered): Promise<Bytes | Refusal> {
  const { response } = answered.answer;
  const { answerBytesMax, chunkTimeoutMs } = deps.limits;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    answered.abort.abort();
  }, chunkTimeoutMs);
  try {
    const { headers } = response;
    const length = headers.get("content-length");
    // Only a plain body of known length needs no counting; a packed one may be far larger than it says.
    if (length !== null && !headers.has("content-encoding"))
      return Number(length) > answerBytesMax ? tooLarge() : await response.bytes();
    if (response.body === null) return new Uint8Array();
    return (await readBounded(response.body, answerBytesMax, () => timer.refresh())) ?? tooLarge();
  } catch (error) {
    return late
      ? refuse("upstream.timeout", "The upstream went silent in the middle of its answer.")
      : refuse("upstream.cut", `The upstream cut its answer off: ${errorText(error)}.`);
  } finally {
    clearTimeout(timer);
  }
}

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const ERROR = /^\s*\{\s*"error"\s*:\s*[{"]/;

/** Cheap: a JSON object begins and ends with its braces; a cut or a page of HTML does not. */
function looksWhole(bytes: Uint8Array): boolean {
  let first = 0;
  let last = bytes.length - 1;
  while ((bytes[first] ?? 0x7f) <= 0x20) first += 1;
  while ((bytes[last] ?? 0x7f) <= 0x20) last -= 1;
  return bytes[first] === OPEN_BRACE && bytes[last] === CLOSE_BRACE;
}

/** Why this body must not go to the caller, if so. */
function judgeAnswer(answered: Answered, bytes: Bytes): Refusal | undefined {
  const { name } = answered.attempt.target.engine;
  const { refusal, response } = answered.answer;
  if (!looksWhole(bytes))
    return refusal
      ? refuse("upstream.refused", `The upstream ${name} answered ${response.status}.`)
      : refuse("upstream.invalid", "The upstream's answer is no JSON object.");
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(64, bytes.length));
  if (!refusal && ERROR.test(head.toString("latin1")))
    return refuse("upstream.refused", `The upstream ${name} answered 200 with an error in it.`);
  return undefined;
}

/** What an answer used, as it tells or as its text says. */
function usedOf(
  deps: GatewayDeps,
  dispatch: Dispatch,
  bytes: Bytes,
): Pick<Outcome, "quantities" | "servedTier"> {
  const quantities = quantitiesOf(deps, dispatch, findUsage(bytes), () =>
    estimateQuantities(dispatch.reading.bytes.length, estimateOutput(bytes), "estimated"),
  );
  const servedTier = dispatch.endpoint === "embeddings" ? "standard" : findServedTier(bytes);
  return { quantities, servedTier };
}

/** The whole answer at once. A refusal when the upstream's body is not usable. */
export async function relayWhole(
  deps: GatewayDeps,
  dispatch: Dispatch,
  answered: Answered,
): Promise<Response | Refusal> {
  const { response, refusal } = answered.answer;
  const firstByteMs = Math.round(deps.clock.monotonicMs() - dispatch.startedAt);
  const end = (status: Outcome["status"], httpStatus: number, used: Partial<Outcome> = {}) =>
    settle(deps, dispatch, answered.attempt, {
      ...NOT_ANSWERED,
      status,
      httpStatus,
      firstByteMs,
      upstreamRequestId: upstreamIdOf(answered),
      ...used,
    });
  const read = await readAnswer(deps, answered);
  const bytes = read instanceof Uint8Array ? (judgeAnswer(answered, read) ?? read) : read;
  if (!(bytes instanceof Uint8Array)) {
    answered.abort.abort();
    deps.load.failed(answered.attempt.target.engine.id, deps.clock.monotonicMs());
    await end("failed", 502);
    return bytes;
  }
  const left = dispatch.request.signal.aborted;
  const fact = await end(
    refusal ? "refused_upstream" : left ? "caller_left" : "ok",
    left ? 0 : response.status,
    refusal ? {} : usedOf(deps, dispatch, bytes),
  );
  deps.observe.ended({
    exchange: dispatch,
    httpStatus: response.status,
    fact,
    events: 0,
    chunks: 0,
  });
  dispatch.rest();
  return new Response(bytes, {
    status: response.status,
    headers: relayHeaders(deps, dispatch, answered),
  });
}
