// One exchange: a checked Ask becomes a response, whole or streamed.
// Invariant: generation never waits for a slow reader, so a slot is free when the text is written; what piles up meanwhile is
// bounded by the answer's own bound, about 250 bytes a token.

import type { Clock, Dice } from "../kit/clock.ts";
import { Fault, isFault } from "../kit/fault.ts";
import { encodeId, idBytes } from "../kit/id.ts";
import { errorText, type Log } from "../kit/log.ts";
import {
  demandRoom,
  planAnswer,
  runAnswer,
  runEmbedding,
  type HeldTokens,
  type Plan,
} from "./answer.ts";
import {
  toAnswer,
  toChunk,
  toEmbeddings,
  toError,
  toUsageChunk,
  type AnswerHead,
} from "./dialect.rules.ts";
import type { EngineMetrics } from "./metrics.ts";
import type { Borrowed, Shelf } from "./shelf.ts";
import type { Ask, EmbedAsk, FinishReason, Piece, Usage } from "./types.ts";

export interface ExchangeDeps {
  readonly shelf: Shelf;
  readonly metrics: EngineMetrics;
  readonly held: HeldTokens;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly log: Log;
}

/** One request of a caller; `signal` aborts when the caller leaves or the engine stops. */
export interface Caller {
  readonly signal: AbortSignal;
  readonly arrivedMs: number;
  /** Called once, when nothing more is being generated for this caller. */
  readonly done: () => void;
}

interface Exchange {
  readonly head: AnswerHead;
  readonly borrowed: Borrowed;
  readonly plan: Plan;
}

const JSON_TYPE = { "content-type": "application/json" };
const STREAM_HEADERS = { "content-type": "text/event-stream", "cache-control": "no-cache" };
const DONE = "data: [DONE]\n\n";

const eventOf = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;

/** What a thrown thing means to the caller; our own mistakes are logged and not shown. */
export function toFault(error: unknown, log: Log): Fault {
  if (isFault(error)) return error;
  log.error("engine.failed", { reason: errorText(error) });
  return new Fault("internal", { message: "the embedded engine failed; its log has the reason" });
}

function headOf(deps: ExchangeDeps, ask: Ask, digest: string): AnswerHead {
  const prefix = ask.kind === "chat" ? "chatcmpl" : "cmpl";
  return {
    id: `${prefix}-${encodeId(idBytes(deps.clock, deps.dice))}`,
    createdS: Math.floor(deps.clock.nowMs() / 1000),
    ask,
    digest,
  };
}

const secondsSince = (deps: ExchangeDeps, ms: number) => (deps.clock.monotonicMs() - ms) / 1000;

/** Runs the plan, hands pieces on, and counts. */
async function run(
  deps: ExchangeDeps,
  caller: Caller,
  { head, borrowed, plan }: Exchange,
  onPiece: (choice: number, piece: Piece) => void,
): Promise<Usage> {
  const reasons: FinishReason[] = [];
  let first = true;
  const observe = (choice: number, piece: Piece) => {
    if (first) deps.metrics.firstToken(borrowed.name, secondsSince(deps, caller.arrivedMs));
    first = false;
    if (piece.finish) reasons.push(piece.finish);
    onPiece(choice, piece);
  };
  const answering = { dice: deps.dice, held: deps.held, signal: caller.signal, onPiece: observe };
  const usage = await runAnswer(answering, borrowed, head.ask, plan);
  deps.metrics.finished(borrowed.name, secondsSince(deps, caller.arrivedMs), usage, reasons);
  return usage;
}

async function answerWhole(
  deps: ExchangeDeps,
  caller: Caller,
  exchange: Exchange,
): Promise<Response> {
  const choices = exchange.plan.choices.map(() => ({
    text: "",
    finish: null as FinishReason | null,
  }));
  const usage = await run(deps, caller, exchange, (at, piece) => {
    const choice = choices[at];
    if (!choice) return;
    choice.text += piece.text;
    choice.finish = piece.finish;
  });
  const body = JSON.stringify(toAnswer(exchange.head, choices, usage));
  return new Response(body, { headers: { ...JSON_TYPE, "x-request-id": exchange.head.id } });
}

async function writeStream(
  deps: ExchangeDeps,
  caller: Caller,
  exchange: Exchange,
  write: (event: string) => void,
): Promise<void> {
  const { head } = exchange;
  const begun = new Set<number>();
  try {
    const usage = await run(deps, caller, exchange, (choice, piece) => {
      write(eventOf(toChunk(head, choice, piece, !begun.has(choice))));
      begun.add(choice);
    });
    if (head.ask.includeUsage) write(eventOf(toUsageChunk(head, usage)));
    write(DONE);
  } catch (error) {
    const fault = toFault(error, deps.log);
    write(eventOf(toError(fault)));
  }
}

function answerStream(
  deps: ExchangeDeps,
  caller: Caller,
  exchange: Exchange,
  leave: () => void,
  end: () => void,
): Response {
  const text = new TextEncoder();
  let isRead = true;
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => {
      const write = (event: string) => {
        if (isRead) controller.enqueue(text.encode(event));
      };
      void writeStream(deps, caller, exchange, write)
        .then(() => isRead && controller.close())
        .catch((error: unknown) => deps.log.warn("engine.stream", { reason: errorText(error) }))
        .finally(end);
    },
    cancel: () => {
      isRead = false;
      leave();
    },
  });
  return new Response(stream, { headers: { ...STREAM_HEADERS, "x-request-id": exchange.head.id } });
}

/** Throws faults until the answer has begun; a stream that breaks later ends with an error event. */
export async function exchange(
  deps: ExchangeDeps,
  caller: Caller,
  leave: () => void,
  ask: Ask,
): Promise<Response> {
  const borrowed = await deps.shelf.borrow(ask.model);
  const end = () => {
    borrowed.giveBack();
    caller.done();
  };
  let streams = false;
  try {
    const plan = planAnswer(borrowed.model, ask);
    demandRoom(borrowed, plan.choices.length);
    const whole = { head: headOf(deps, ask, borrowed.digest), borrowed, plan };
    streams = ask.stream;
    return streams
      ? answerStream(deps, caller, whole, leave, end)
      : await answerWhole(deps, caller, whole);
  } finally {
    if (!streams) end();
  }
}

export async function exchangeEmbedding(
  deps: ExchangeDeps,
  caller: Caller,
  ask: EmbedAsk,
): Promise<Response> {
  const borrowed = await deps.shelf.borrow(ask.model);
  try {
    demandRoom(borrowed, 1);
    const { vectors, promptTokens } = await runEmbedding(borrowed, ask, caller.signal);
    const usage = { promptTokens, outputTokens: 0 };
    deps.metrics.finished(ask.model, secondsSince(deps, caller.arrivedMs), usage, []);
    return Response.json(toEmbeddings(ask.model, vectors, ask.base64, promptTokens));
  } finally {
    borrowed.giveBack();
  }
}
