// Step 7, relay, whole answers: read within bounds, usage taken from them, out only after the settlement is on disk.
// Invariant: an answer that is cut, stalled, too large or no JSON object is a failure of the upstream, never passed on.

import type { Quantity } from "../billing/metering/types.ts";
import { refuse, type Refusal } from "../kit/fault.ts";
import { errorText } from "../kit/log.ts";
import {
  estimateOutput,
  estimateQuantities,
  findUsage,
  toQuantities,
} from "./dialects/openai/usage.rules.ts";
import type { Answered } from "./forward.ts";
import { settle } from "./settle.ts";
import type { Dispatch, GatewayDeps, Outcome } from "./types.ts";

const UPSTREAM_ID = "x-request-id";

export const upstreamIdOf = (answered: Answered) =>
  answered.answer.response.headers.get(UPSTREAM_ID) ?? "";

export function relayHeaders(dispatch: Dispatch, answered: Answered): Record<string, string> {
  const headers: Record<string, string> = {
    "content-type": answered.answer.response.headers.get("content-type") ?? "application/json",
    "x-request-id": dispatch.id,
  };
  if (answered.attempt.number > 1) headers["x-intertie-attempts"] = String(answered.attempt.number);
  return headers;
}

/** What the upstream told, when it can be believed; otherwise undefined, and a line in the log. */
export function believed(
  deps: GatewayDeps,
  dispatch: Dispatch,
  usage: unknown,
): readonly Quantity[] | undefined {
  const quantities = usage === undefined ? undefined : toQuantities(usage);
  if (quantities === undefined && usage !== undefined)
    deps.log.warn("upstream.usage_not_believed", { requestId: dispatch.id });
  return quantities;
}

type Bytes = Uint8Array<ArrayBuffer>;

const tooLarge = () => refuse("upstream.too_large", "The upstream's answer is too large.");

/** Bodies without a length are counted while they come, so that an endless one is never held whole. */
async function readCounted(
  body: ReadableStream<Uint8Array>,
  bytesMax: number,
  onChunk: () => void,
): Promise<Bytes | Refusal> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done || value === undefined) break;
    onChunk();
    length += value.length;
    if (length > bytesMax) return tooLarge();
    parts.push(value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

async function readAnswer(deps: GatewayDeps, answered: Answered): Promise<Bytes | Refusal> {
  const { response } = answered.answer;
  const { answerBytesMax, chunkTimeoutMs } = deps.limits;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    answered.abort.abort();
  }, chunkTimeoutMs);
  try {
    const length = response.headers.get("content-length");
    if (length !== null)
      return Number(length) > answerBytesMax ? tooLarge() : await response.bytes();
    return response.body === null
      ? new Uint8Array()
      : await readCounted(response.body, answerBytesMax, () => timer.refresh());
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

/** Cheap: a JSON object begins and ends with its braces; a cut or a page of HTML does not. */
function looksWhole(bytes: Uint8Array): boolean {
  const last = bytes.findLastIndex((byte) => byte > 0x20);
  const first = bytes.findIndex((byte) => byte > 0x20);
  return bytes[first] === OPEN_BRACE && bytes[last] === CLOSE_BRACE;
}

function quantitiesOf(deps: GatewayDeps, dispatch: Dispatch, bytes: Uint8Array) {
  return (
    believed(deps, dispatch, findUsage(bytes)) ??
    estimateQuantities(dispatch.reading.bytes.length, estimateOutput(bytes), "estimated")
  );
}

/** The whole answer at once. A refusal when the upstream's body is not usable. */
export async function relayWhole(
  deps: GatewayDeps,
  dispatch: Dispatch,
  answered: Answered,
): Promise<Response | Refusal> {
  const { response, refusal } = answered.answer;
  const firstByteMs = Math.round(deps.clock.monotonicMs() - dispatch.startedAt);
  const end = (status: Outcome["status"], httpStatus: number, quantities: readonly Quantity[]) =>
    settle(deps, dispatch, answered.attempt, {
      status,
      httpStatus,
      firstByteMs,
      upstreamRequestId: upstreamIdOf(answered),
      quantities,
    });
  const read = await readAnswer(deps, answered);
  const bytes =
    read instanceof Uint8Array && !refusal && !looksWhole(read)
      ? refuse("upstream.invalid", "The upstream's answer is no JSON object.")
      : read;
  if (!(bytes instanceof Uint8Array)) {
    answered.abort.abort();
    deps.load.failed(answered.attempt.target.engine.id, deps.clock.monotonicMs());
    await end("failed", 502, []);
    return bytes;
  }
  const left = dispatch.request.signal.aborted;
  const fact = await end(
    refusal ? "refused_upstream" : left ? "caller_left" : "ok",
    left ? 0 : response.status,
    refusal ? [] : quantitiesOf(deps, dispatch, bytes),
  );
  deps.observe.ended({
    exchange: dispatch,
    httpStatus: response.status,
    fact,
    events: 0,
    chunks: 0,
  });
  return new Response(bytes, {
    status: response.status,
    headers: relayHeaders(dispatch, answered),
  });
}
