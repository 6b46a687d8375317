// A stream of server-sent events in passing: what may go on to the caller, what it used, whether it ended well.
// Invariants: whole chunks pass as they are, bytes untouched; only an event that is cut by the chunk's end waits for its rest, and
// only a usage event that the caller did not ask for is taken out. Any cut of the bytes gives the same result.

import type { ServedTier } from "../../../billing/metering/types.ts";
import { textBytesOf } from "./text.rules.ts";
import { findServedTier, findUsage } from "./usage.rules.ts";

const END = Buffer.from("\n\n");
const CRLF_END = Buffer.from("\r\n\r\n");
const DATA = Buffer.from("\ndata:");
const USAGE = Buffer.from('"usage"');
const DONE = Buffer.from("[DONE]");
/** Quotes inside a text are escaped, so these match the JSON around texts only. */
const ERROR = Buffer.from('{"error":');
const FINISH = Buffer.from('"finish_reason":"');
const ROLE = Buffer.from('"role"');
const SAYS = /"(?:content|text|arguments|refusal|reasoning|reasoning_content)"\s*:\s*"[^"]/;
const NO_CHOICES = /"choices"\s*:\s*\[\s*\]/;
const LINE_FEED = 0x0a;

/** A single event larger than this is cut off as `upstream.too_large`. */
export const EVENT_BYTES_MAX = 4 * 1024 * 1024;

export interface Passed {
  /** What the caller gets now; may be empty. Includes neither a pending event nor the terminator. */
  readonly bytes: Uint8Array;
  /** The `data: [DONE]` event and what follows it: to be sent after the settlement is on disk. */
  readonly last: Uint8Array | undefined;
}

export interface StreamState {
  pass(chunk: Uint8Array): Passed | "too_large";
  readonly usage: unknown;
  /** As the usage event told. */
  readonly servedTier: ServedTier;
  /** Events that went on to the caller and said something. */
  readonly events: number;
  /** Of what they said. */
  readonly textBytes: number;
  readonly done: boolean;
  /** The upstream sent an error event. */
  readonly failed: boolean;
  /** Bytes of an event whose end never came. */
  readonly pendingBytes: number;
}

const NOTHING = Buffer.alloc(0);

/** Comments (`: ping`) are no events. A text holds no raw line feed, so a line that begins with `data:` is one. */
function countEvents(buffer: Buffer): number {
  let events = buffer[0] === 0x64 && buffer.toString("latin1", 0, 5) === "data:" ? 1 : 0;
  for (let at = buffer.indexOf(DATA); at >= 0; at = buffer.indexOf(DATA, at + 1)) events += 1;
  return events;
}

/** Offset after the last complete event; 0 when there is none. */
function lastEventEnd(buffer: Buffer): number {
  const { length } = buffer;
  if (buffer[length - 1] === LINE_FEED && buffer[length - 2] === LINE_FEED) return length;
  const plain = buffer.lastIndexOf(END);
  const crlf = buffer.lastIndexOf(CRLF_END);
  return Math.max(plain < 0 ? 0 : plain + END.length, crlf < 0 ? 0 : crlf + CRLF_END.length);
}

/** Offset of the event `data: [DONE]`, -1 when there is none; the same words in a text do not count. */
function findDone(buffer: Buffer): number {
  for (let at = buffer.indexOf(DONE); at >= 0; at = buffer.indexOf(DONE, at + 1)) {
    const line = buffer.lastIndexOf(LINE_FEED, at) + 1;
    if (/^data: ?$/.test(buffer.toString("latin1", line, Math.min(at, line + 8)))) return line;
  }
  return -1;
}

class OpenAiStream implements StreamState {
  readonly #hideUsage: boolean;
  #pending: Buffer = NOTHING;
  usage: unknown;
  servedTier: ServedTier = "standard";
  events = 0;
  textBytes = 0;
  done = false;
  failed = false;

  constructor(hideUsage: boolean) {
    this.#hideUsage = hideUsage;
  }

  get pendingBytes(): number {
    return this.#pending.length;
  }

  pass(chunk: Uint8Array): Passed | "too_large" {
    const fresh = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const buffer = this.#pending.length === 0 ? fresh : Buffer.concat([this.#pending, fresh]);
    const end = lastEventEnd(buffer);
    this.#pending = end === buffer.length ? NOTHING : Buffer.from(buffer.subarray(end));
    if (this.#pending.length > EVENT_BYTES_MAX) return "too_large";
    return end === 0
      ? { bytes: NOTHING, last: undefined }
      : this.#whole(end === buffer.length ? buffer : buffer.subarray(0, end));
  }

  #whole(buffer: Buffer): Passed {
    const doneAt = findDone(buffer);
    const body = doneAt < 0 ? buffer : buffer.subarray(0, doneAt);
    if (doneAt >= 0) this.done = true;
    if (body.includes(ERROR)) this.failed = true;
    const bytes = body.includes(USAGE) ? this.#withUsage(body) : body;
    this.#countTalk(bytes);
    return { bytes, last: doneAt < 0 ? undefined : buffer.subarray(doneAt) };
  }

  /** Events that say something. Only those at the two ends of a choice can be empty, so only they are read. */
  #countTalk(bytes: Buffer): void {
    const mayBeIdle = bytes.includes(ROLE) || bytes.includes(FINISH);
    const talk = mayBeIdle
      ? eventsOf(bytes).filter((event) => SAYS.test(event.toString("utf8")))
      : undefined;
    this.events += talk?.length ?? countEvents(bytes);
    for (const part of talk ?? [bytes]) this.textBytes += textBytesOf(part);
  }

  /** Rare: looks at the events one by one. */
  #withUsage(body: Buffer): Buffer {
    const kept: Buffer[] = [];
    for (const event of eventsOf(body)) {
      const usage = event.includes(USAGE) ? findUsage(event) : undefined;
      if (usage !== undefined) {
        this.usage = usage;
        this.servedTier = findServedTier(event);
      }
      const only = usage !== undefined && NO_CHOICES.test(event.toString("utf8"));
      if (!(only && this.#hideUsage)) kept.push(event);
    }
    return kept.length === 1 && kept[0] ? kept[0] : Buffer.concat(kept);
  }
}

function eventsOf(body: Buffer): Buffer[] {
  const events: Buffer[] = [];
  for (let start = 0; start < body.length;) {
    const end = nextEventEnd(body, start);
    events.push(body.subarray(start, end));
    start = end;
  }
  return events;
}

function nextEventEnd(body: Buffer, start: number): number {
  const plain = body.indexOf(END, start);
  const crlf = body.indexOf(CRLF_END, start);
  const plainEnd = plain < 0 ? body.length : plain + END.length;
  const crlfEnd = crlf < 0 ? body.length : crlf + CRLF_END.length;
  return Math.min(plainEnd, crlfEnd);
}

/** `hideUsage`: the caller did not ask for usage, we did; its event is taken out. */
export function openStreamState(hideUsage: boolean): StreamState {
  return new OpenAiStream(hideUsage);
}
