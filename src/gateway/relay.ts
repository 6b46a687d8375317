// Step 7, relay: bytes out, usage read in passing; the last ones only after the settlement is on disk.
// Invariants: the upstream is read only as fast as the caller takes (pull), chunks pass whole, and a stream that did not end well
// never looks as if it had.

import type { Quantity } from "../billing/metering/types.ts";
import { refuse, type FaultCode, type Refusal } from "../kit/fault.ts";
import { errorText } from "../kit/log.ts";
import { errorEvent } from "./dialects/openai/errors.ts";
import { openStreamState, type StreamState } from "./dialects/openai/stream.state.ts";
import { estimateQuantities, findUsage, toQuantities } from "./dialects/openai/usage.rules.ts";
import type { Answered } from "./forward.ts";
import { settle } from "./settle.ts";
import type { Sweep } from "./sweep.ts";
import type { Dispatch, GatewayDeps, Outcome } from "./types.ts";

const UPSTREAM_ID = "x-request-id";

function headersOf(dispatch: Dispatch, answered: Answered): Record<string, string> {
  const headers: Record<string, string> = {
    "content-type": answered.answer.response.headers.get("content-type") ?? "application/json",
    "x-request-id": dispatch.id,
  };
  if (answered.attempt.number > 1) headers["x-intertie-attempts"] = String(answered.attempt.number);
  return headers;
}

function believed(
  deps: GatewayDeps,
  dispatch: Dispatch,
  usage: unknown,
  outputEvents: number,
): readonly Quantity[] {
  const quantities = usage === undefined ? undefined : toQuantities(usage);
  if (quantities !== undefined) return quantities;
  if (usage !== undefined) deps.log.warn("upstream.usage_not_believed", { requestId: dispatch.id });
  return estimateQuantities(dispatch.reading.bytes.length, outputEvents);
}

/** All bytes of an answer, or undefined when it is larger than the bound. */
async function readAll(
  response: Response,
  bytesMax: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (Number(response.headers.get("content-length") ?? "0") > bytesMax) return undefined;
  const bytes = await response.bytes();
  return bytes.length > bytesMax ? undefined : bytes;
}

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Cheap: a JSON object begins and ends with its braces; a cut or a page of HTML does not. */
function looksWhole(bytes: Uint8Array): boolean {
  const last = bytes.findLastIndex((byte) => byte > 0x20);
  const first = bytes.findIndex((byte) => byte > 0x20);
  return bytes[first] === OPEN_BRACE && bytes[last] === CLOSE_BRACE;
}

/** The whole answer at once. A refusal when the upstream's body is not usable. */
export async function relayWhole(
  deps: GatewayDeps,
  dispatch: Dispatch,
  answered: Answered,
): Promise<Response | Refusal> {
  const { response, refusal } = answered.answer;
  const upstreamRequestId = response.headers.get(UPSTREAM_ID) ?? "";
  const firstByteMs = Math.round(deps.clock.monotonicMs() - dispatch.startedAt);
  const end = (status: Outcome["status"], httpStatus: number, quantities: readonly Quantity[]) =>
    settle(deps, dispatch, answered.attempt, {
      status,
      httpStatus,
      firstByteMs,
      upstreamRequestId,
      quantities,
    });
  const fail = async (code: FaultCode, message: string): Promise<Refusal> => {
    answered.abort.abort();
    await end("failed", 502, []);
    return refuse(code, message);
  };
  let bytes: Uint8Array<ArrayBuffer> | undefined;
  try {
    bytes = await readAll(response, deps.limits.answerBytesMax);
  } catch (error) {
    return fail("upstream.cut", `The upstream cut its answer off: ${errorText(error)}.`);
  }
  if (bytes === undefined) return fail("upstream.too_large", "The upstream's answer is too large.");
  if (!refusal && !looksWhole(bytes))
    return fail("upstream.invalid", "The upstream's answer is no JSON object.");
  const quantities = refusal ? [] : believed(deps, dispatch, findUsage(bytes), 0);
  await end(refusal ? "refused_upstream" : "ok", response.status, quantities);
  return new Response(bytes, { status: response.status, headers: headersOf(dispatch, answered) });
}

class StreamRelay {
  readonly #deps: GatewayDeps;
  readonly #dispatch: Dispatch;
  readonly #answered: Answered;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #state: StreamState;
  readonly #stopSweep: () => void;
  #firstByteMs = -1;
  #lastChunkAt: number;
  #progressEvents = 0;
  #timedOut = false;
  #settled = false;

  constructor(
    deps: GatewayDeps,
    dispatch: Dispatch,
    answered: Answered,
    body: ReadableStream<Uint8Array>,
    sweep: Sweep,
  ) {
    this.#deps = deps;
    this.#dispatch = dispatch;
    this.#answered = answered;
    this.#reader = body.getReader();
    this.#state = openStreamState(!dispatch.reading.wantsUsage);
    this.#lastChunkAt = deps.clock.monotonicMs();
    this.#stopSweep = sweep.add(() => this.#tick());
  }

  /** Once a second: progress to the journal, and the deadline between two chunks. */
  #tick(): void {
    const { events } = this.#state;
    if (events > this.#progressEvents) {
      this.#progressEvents = events;
      this.#deps.journal.appendLazy({
        type: "progress",
        requestId: this.#dispatch.id,
        attempt: this.#answered.attempt.number,
        firstByteMs: this.#firstByteMs,
        quantities: estimateQuantities(this.#dispatch.reading.bytes.length, events),
      });
    }
    if (this.#deps.clock.monotonicMs() - this.#lastChunkAt < this.#deps.limits.chunkTimeoutMs)
      return;
    this.#timedOut = true;
    this.#answered.abort.abort();
  }

  async #settle(status: Outcome["status"], httpStatus: number): Promise<void> {
    if (this.#settled) return;
    this.#settled = true;
    this.#stopSweep();
    const { usage, events } = this.#state;
    const upstreamRequestId = this.#answered.answer.response.headers.get(UPSTREAM_ID) ?? "";
    const quantities = believed(this.#deps, this.#dispatch, usage, events);
    await settle(this.#deps, this.#dispatch, this.#answered.attempt, {
      status,
      httpStatus,
      firstByteMs: this.#firstByteMs,
      upstreamRequestId,
      quantities,
    });
  }

  /** One turn: reads until something may go on, or the stream is over. */
  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    for (;;) {
      let chunk: { done: boolean; value?: Uint8Array | undefined };
      try {
        chunk = await this.#reader.read();
      } catch (error) {
        const late = refuse("upstream.timeout", "The upstream went silent.");
        return this.#break(
          controller,
          this.#timedOut
            ? late
            : refuse("upstream.cut", `The upstream cut the stream off: ${errorText(error)}.`),
        );
      }
      if (this.#settled) return;
      if (chunk.done || chunk.value === undefined) return this.#finish(controller, undefined);
      const now = this.#deps.clock.monotonicMs();
      this.#lastChunkAt = now;
      if (this.#firstByteMs < 0) this.#firstByteMs = Math.round(now - this.#dispatch.startedAt);
      const passed = this.#state.pass(chunk.value);
      if (passed === "too_large")
        return this.#break(
          controller,
          refuse("upstream.too_large", "The upstream sent an event that is too large."),
        );
      if (passed.bytes.length > 0) controller.enqueue(passed.bytes);
      if (passed.last !== undefined) return this.#finish(controller, passed.last);
      if (passed.bytes.length > 0) return;
    }
  }

  /** A proper end goes out only after its settlement is on disk. */
  async #finish(
    controller: ReadableStreamDefaultController<Uint8Array>,
    last: Uint8Array | undefined,
  ): Promise<void> {
    if (last === undefined && !this.#state.done)
      return this.#break(
        controller,
        refuse("upstream.cut", "The upstream ended the stream before its end."),
      );
    try {
      await this.#settle(this.#state.failed ? "failed" : "ok", 200);
      if (last !== undefined) controller.enqueue(last);
    } catch (error) {
      this.#deps.log.error("settle.failed", {
        requestId: this.#dispatch.id,
        reason: errorText(error),
      });
      controller.enqueue(
        new TextEncoder().encode(
          errorEvent(refuse("internal", "The usage of this answer could not be recorded.")),
        ),
      );
    }
    controller.close();
    this.#answered.abort.abort();
  }

  async #break(
    controller: ReadableStreamDefaultController<Uint8Array>,
    why: Refusal,
  ): Promise<void> {
    if (this.#settled) return;
    this.#answered.abort.abort();
    this.#deps.load.failed(this.#answered.attempt.target.engine.id, this.#deps.clock.monotonicMs());
    await this.#settle("cut", 200).catch(() => {});
    controller.enqueue(new TextEncoder().encode(errorEvent(why)));
    controller.close();
  }

  /** The caller left: read on for a moment, since the usage may be near; then cancel and bill what was relayed. */
  async left(): Promise<void> {
    if (this.#settled) return;
    const until = this.#deps.clock.monotonicMs() + this.#deps.limits.drainMs;
    const timer = setTimeout(() => this.#answered.abort.abort(), this.#deps.limits.drainMs);
    try {
      while (this.#state.usage === undefined && this.#deps.clock.monotonicMs() < until) {
        const { done, value } = await this.#reader.read();
        if (done || value === undefined || this.#state.pass(value) === "too_large") break;
      }
    } catch {
      // The bound was reached, or the upstream broke: what was relayed is known either way.
    } finally {
      clearTimeout(timer);
      this.#answered.abort.abort();
    }
    await this.#settle("caller_left", 0).catch((error: unknown) =>
      this.#deps.log.error("settle.failed", {
        requestId: this.#dispatch.id,
        reason: errorText(error),
      }),
    );
  }
}

/** Server-sent events, as fast as the caller reads them. */
export function relayStream(
  deps: GatewayDeps,
  dispatch: Dispatch,
  answered: Answered,
  sweep: Sweep,
): Response {
  const { response } = answered.answer;
  const body =
    response.body ?? new ReadableStream<Uint8Array>({ start: (controller) => controller.close() });
  const relay = new StreamRelay(deps, dispatch, answered, body, sweep);
  const stream = new ReadableStream<Uint8Array>(
    { pull: (controller) => relay.pull(controller), cancel: () => void relay.left() },
    { highWaterMark: 0 },
  );
  return new Response(stream, {
    status: response.status,
    headers: { ...headersOf(dispatch, answered), "cache-control": "no-cache" },
  });
}
