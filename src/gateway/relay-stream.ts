// Step 7, relay, streams: chunks pass whole as the caller takes them, usage read in passing.
// Invariants: the upstream is read only on the caller's pull; the terminator goes out only after the settlement is on disk; a
// stream that did not end well never looks as if it had; each stream settles exactly once.

import type { Quantity } from "../billing/metering/types.ts";
import { refuse, type Refusal } from "../kit/fault.ts";
import { errorText } from "../kit/log.ts";
import { errorEvent } from "./dialects/openai/errors.ts";
import { openStreamState, type StreamState } from "./dialects/openai/stream.state.ts";
import { countOutput, estimateQuantities } from "./dialects/openai/usage.rules.ts";
import type { Answered } from "./forward.ts";
import { quantitiesOf, relayHeaders, upstreamIdOf } from "./relay.ts";
import { settle, withRequest } from "./settle.ts";
import type { Sweep, Swept } from "./sweep.ts";
import type { Dispatch, GatewayDeps, Outcome } from "./types.ts";

type Controller = ReadableStreamDefaultController<Uint8Array>;

const utf8 = new TextEncoder();
/** Between the upstream's last event and the end of its answer. */
const TAIL_MS = 1_000;

class StreamRelay implements Swept {
  readonly #deps: GatewayDeps;
  readonly #dispatch: Dispatch;
  readonly #answered: Answered;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #state: StreamState;
  readonly #stopSweep: () => void;
  #firstByteMs = -1;
  #chunks = 0;
  #progressEvents = 0;
  /** Since when we wait for the upstream (`reading`) or for the caller. */
  #waitsSince: number;
  #reading = false;
  #late = false;
  #left = false;
  #settled = false;
  #controller: Controller | undefined;

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
    this.#waitsSince = deps.clock.monotonicMs();
    this.#stopSweep = sweep.add(this);
  }

  /** About once a second: progress to the journal, and the deadlines of both sides. */
  tick(): void {
    if (this.#settled) return;
    this.#progress();
    const { chunkTimeoutMs, callerTimeoutMs } = this.#deps.limits;
    const waited = this.#deps.clock.monotonicMs() - this.#waitsSince;
    if (this.#reading && waited >= chunkTimeoutMs) {
      this.#late = true;
      this.#answered.abort.abort();
    } else if (!this.#reading && waited >= callerTimeoutMs) {
      // Nothing can be told to a caller who does not read; the idle connection is closed by the server.
      this.#dispatch.rest();
      void this.left();
    }
  }

  /** This gateway stops and the caller's time is up. */
  async cut(): Promise<void> {
    const why = refuse("service.draining", "This gateway is stopping.");
    if (this.#left) this.#answered.abort.abort();
    await this.#break(this.#controller, why, "interrupted");
  }

  #progress(): void {
    const { events } = this.#state;
    if (events === this.#progressEvents) return;
    this.#progressEvents = events;
    this.#deps.journal.appendLazy({
      type: "progress",
      requestId: this.#dispatch.id,
      attempt: this.#answered.attempt.number,
      firstByteMs: this.#firstByteMs,
      quantities: withRequest(this.#dispatch, this.#seen()),
    });
  }

  /** What we know of it without the upstream's word. */
  #seen(): readonly Quantity[] {
    const { events, textBytes } = this.#state;
    const { tokens, source } = countOutput(events, textBytes);
    return estimateQuantities(this.#dispatch.reading.bytes.length, tokens, source);
  }

  async #settle(status: Outcome["status"], httpStatus: number): Promise<void> {
    if (this.#settled) return;
    this.#settled = true;
    const { usage, servedTier, events } = this.#state;
    const fact = await settle(this.#deps, this.#dispatch, this.#answered.attempt, {
      status,
      httpStatus,
      firstByteMs: this.#firstByteMs,
      upstreamRequestId: upstreamIdOf(this.#answered),
      servedTier,
      quantities: quantitiesOf(this.#deps, this.#dispatch, usage, () => this.#seen()),
    }).finally(this.#stopSweep);
    const chunks = this.#chunks;
    this.#deps.observe.ended({ exchange: this.#dispatch, httpStatus, fact, events, chunks });
  }

  #logUnsettled(error: unknown): void {
    const reason = errorText(error);
    this.#deps.log.error("settle.failed", { requestId: this.#dispatch.id, reason });
  }

  async #read(): Promise<Uint8Array | "end" | Refusal> {
    this.#reading = true;
    this.#waitsSince = this.#deps.clock.monotonicMs();
    try {
      const { done, value } = await this.#reader.read();
      return done || value === undefined ? "end" : value;
    } catch (error) {
      return this.#late
        ? refuse("upstream.timeout", "The upstream went silent.")
        : refuse("upstream.cut", `The upstream cut the stream off: ${errorText(error)}.`);
    } finally {
      this.#reading = false;
      this.#waitsSince = this.#deps.clock.monotonicMs();
    }
  }

  /** One turn: reads until something may go on, or the stream is over. */
  async pull(controller: Controller): Promise<void> {
    this.#controller = controller;
    for (;;) {
      const chunk = await this.#read();
      if (this.#settled) return;
      if (chunk === "end") return this.#finish(controller, undefined);
      if (!(chunk instanceof Uint8Array)) return this.#break(controller, chunk);
      if (this.#firstByteMs < 0)
        this.#firstByteMs = Math.round(this.#waitsSince - this.#dispatch.startedAt);
      const passed = this.#state.pass(chunk);
      if (passed === "too_large")
        return this.#break(controller, refuse("upstream.too_large", "An event is too large."));
      // The caller left while we waited: what came counts, but there is nobody to send it to.
      if (this.#left) return;
      if (passed.last !== undefined) return this.#finish(controller, passed.last, passed.bytes);
      if (passed.bytes.length > 0) {
        this.#chunks += 1;
        controller.enqueue(passed.bytes);
        return;
      }
    }
  }

  /** A proper end goes out only after its settlement is on disk. */
  async #finish(
    controller: Controller,
    last: Uint8Array | undefined,
    before?: Uint8Array,
  ): Promise<void> {
    if (last === undefined || this.#left)
      return this.#break(controller, refuse("upstream.cut", "The upstream's stream has no end."));
    if (before !== undefined && before.length > 0) controller.enqueue(before);
    void this.#letGo();
    try {
      await this.#settle(this.#state.failed ? "failed" : "ok", 200);
      this.#close(controller, last);
    } catch (error) {
      this.#logUnsettled(error);
      const why = refuse("internal", "The usage of this answer could not be recorded.");
      this.#close(controller, utf8.encode(errorEvent(why)));
    }
  }

  /** An answer read to its very end leaves the connection to the upstream usable. */
  async #letGo(): Promise<void> {
    const { abort } = this.#answered;
    const timer = setTimeout(() => abort.abort(), TAIL_MS);
    const { done } = await this.#reader.read().catch(() => ({ done: true }));
    clearTimeout(timer);
    if (!done) abort.abort();
  }

  async #break(
    controller: Controller | undefined,
    why: Refusal,
    status: "cut" | "interrupted" = "cut",
  ): Promise<void> {
    if (this.#settled || this.#left) return;
    this.#answered.abort.abort();
    if (status === "cut") {
      const { id } = this.#answered.attempt.target.engine;
      this.#deps.load.failed(id, this.#deps.clock.monotonicMs());
    }
    await this.#settle(status, 200).catch((error: unknown) => this.#logUnsettled(error));
    this.#close(controller, utf8.encode(errorEvent(why)));
  }

  /** The caller may have left while the settlement was written; then there is nothing to close. */
  #close(controller: Controller | undefined, bytes: Uint8Array): void {
    if (this.#left || controller === undefined) return;
    this.#dispatch.rest();
    controller.enqueue(bytes);
    controller.close();
  }

  /** The caller left: read on for a moment, since the usage may be near; then cancel and bill what was relayed. */
  async left(): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    if (this.#settled) return;
    const { drainMs } = this.#deps.limits;
    const until = this.#deps.clock.monotonicMs() + drainMs;
    const timer = setTimeout(() => this.#answered.abort.abort(), drainMs);
    while (!this.#state.done && this.#deps.clock.monotonicMs() < until) {
      const chunk = await this.#read();
      if (!(chunk instanceof Uint8Array) || this.#state.pass(chunk) === "too_large") break;
    }
    clearTimeout(timer);
    this.#answered.abort.abort();
    await this.#settle("caller_left", 0).catch((error: unknown) => this.#logUnsettled(error));
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
  const headers = relayHeaders(deps, dispatch, answered);
  headers["cache-control"] = "no-cache";
  return new Response(stream, {
    status: response.status,
    headers,
  });
}
