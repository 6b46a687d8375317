// A stream of server-sent events in passing: what may go on to the caller, what it used, whether it ended well.
// Invariants: whole chunks pass as they are, bytes untouched; only an event that is cut by the chunk's end waits for its rest, and
// only a usage event that the caller did not ask for is taken out. Any cut of the bytes gives the same result.

import { findUsage } from "./usage.rules.ts";

const END = Buffer.from("\n\n");
const CRLF_END = Buffer.from("\r\n\r\n");
const USAGE = Buffer.from('"usage"');
const DONE = Buffer.from("data: [DONE]");
const NO_CHOICES = /"choices"\s*:\s*\[\s*\]/;
const ERROR_EVENT = /^data:\s*\{\s*"error"\s*:/m;

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
  /** Events with content that went on to the caller. */
  readonly events: number;
  readonly done: boolean;
  /** The upstream sent an error event. */
  readonly failed: boolean;
  /** Bytes of an event whose end never came. */
  readonly pendingBytes: number;
}

const EMPTY = new Uint8Array();

function countEvents(buffer: Buffer): number {
  let events = 0;
  for (let at = buffer.indexOf(END); at >= 0; at = buffer.indexOf(END, at + 2)) events += 1;
  return events;
}

/** Offset after the last complete event; 0 when there is none. */
function lastEventEnd(buffer: Buffer): number {
  const plain = buffer.lastIndexOf(END);
  const crlf = buffer.lastIndexOf(CRLF_END);
  return Math.max(plain < 0 ? 0 : plain + END.length, crlf < 0 ? 0 : crlf + CRLF_END.length);
}

class OpenAiStream implements StreamState {
  readonly #hideUsage: boolean;
  #pending: Buffer = Buffer.alloc(0);
  usage: unknown;
  events = 0;
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
    this.#pending = end === buffer.length ? Buffer.alloc(0) : Buffer.from(buffer.subarray(end));
    if (this.#pending.length > EVENT_BYTES_MAX) return "too_large";
    return end === 0
      ? { bytes: EMPTY, last: undefined }
      : this.#whole(end === buffer.length ? buffer : buffer.subarray(0, end));
  }

  #whole(buffer: Buffer): Passed {
    const doneAt = buffer.indexOf(DONE);
    const body = doneAt < 0 ? buffer : buffer.subarray(0, doneAt);
    if (doneAt >= 0) this.done = true;
    const bytes = body.includes(USAGE) ? this.#withUsage(body) : body;
    this.events += countEvents(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return { bytes, last: doneAt < 0 ? undefined : buffer.subarray(doneAt) };
  }

  /** Rare: looks at the events one by one. */
  #withUsage(body: Buffer): Uint8Array {
    if (ERROR_EVENT.test(body.toString("utf8", 0, Math.min(body.length, 512)))) this.failed = true;
    const kept: Buffer[] = [];
    let start = 0;
    while (start < body.length) {
      const end = nextEventEnd(body, start);
      const event = body.subarray(start, end);
      const usage = event.includes(USAGE) ? findUsage(event) : undefined;
      if (usage !== undefined) this.usage = usage;
      const only = usage !== undefined && NO_CHOICES.test(event.toString("utf8"));
      if (!(only && this.#hideUsage)) kept.push(event);
      start = end;
    }
    return kept.length === 1 && kept[0] ? kept[0] : Buffer.concat(kept);
  }
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
