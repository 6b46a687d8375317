// One pass over a JSON body: is it valid, and where are the top-level values that the gateway needs? Pure.
// Invariants: a body that passes parses the same in every JSON library (no duplicate keys, no `__proto__`, depth ≤ 64);
// positions are byte offsets into the very bytes that go upstream, so that they can be spliced without re-encoding.

import { isUtf8 } from "node:buffer";
import { refuse, type FaultCode, type Refusal } from "../kit/fault.ts";

export const JSON_DEPTH_MAX = 64;

/** Byte range of a top-level value, end exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Peeked {
  readonly ok: true;
  readonly buffer: Buffer;
  /** Offset of the byte after the opening brace. */
  readonly inside: number;
  readonly fields: ReadonlyMap<string, Span>;
  /** Pictures, sounds, files in `messages`: what costs more tokens than it has bytes. Rather too many than too few. */
  readonly mediaParts: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const ZERO = 0x30;
const NINE = 0x39;
/** A number longer than this is refused. */
const SCALAR_BYTES_MAX = 400;
const FORBIDDEN = "__proto__";
/** All that a part of a message holds when it is text. */
const TEXT_PART: ReadonlySet<string> = new Set(["type", "text", "refusal", "cache_control"]);

/** Thrown inside this file only, caught at its one door. */
class Broken extends Error {
  readonly code: FaultCode;
  readonly field: string | undefined;
  constructor(code: FaultCode, message: string, field?: string) {
    super(message);
    this.code = code;
    this.field = field;
  }
}

class Scanner {
  readonly #bytes: Buffer;
  readonly fields = new Map<string, Span>();
  /** Keys and indexes from the top to where the scan is, for error messages. */
  readonly #path: (string | number)[] = [];
  mediaParts = 0;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #fail(message: string): never {
    throw new Broken("request.json", `the body is no valid JSON: ${message} at byte ${this.#at}`);
  }

  #space(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    let byte = bytes[at];
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      at += 1;
      byte = bytes[at];
    }
    this.#at = at;
    return byte ?? -1;
  }

  /** Leaves the position after the closing quote; answers whether an escape was seen. */
  #string(): boolean {
    const bytes = this.#bytes;
    let at = this.#at + 1;
    let escaped = false;
    for (;;) {
      const byte = bytes[at];
      if (byte === undefined || byte < 0x20) {
        this.#at = at;
        this.#fail(
          byte === undefined ? "a string does not end" : "a control character in a string",
        );
      }
      at += 1;
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) {
        escaped = true;
        at = this.#escape(at);
      }
    }
    this.#at = at;
    return escaped;
  }

  #escape(at: number): number {
    const byte = this.#bytes[at];
    if (byte === 0x75) {
      if (/^[0-9a-fA-F]{4}$/.test(this.#bytes.toString("latin1", at + 1, at + 5))) return at + 5;
    } else if (byte !== undefined && '"\\/bfnrt'.includes(String.fromCharCode(byte))) {
      return at + 1;
    }
    this.#at = at;
    return this.#fail("a bad escape");
  }

  #scalar(): void {
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start;
    let digits = true;
    for (; at - start <= SCALAR_BYTES_MAX; at += 1) {
      const byte = bytes[at];
      const stops =
        byte === undefined ||
        byte === COMMA ||
        byte === CLOSE_BRACE ||
        byte === CLOSE_BRACKET ||
        byte <= 0x20;
      if (stops) break;
      digits &&= byte >= ZERO && byte <= NINE;
    }
    this.#at = at;
    // Whole numbers, as in long lists of tokens, are known without making a text of them.
    if (digits && at > start && (bytes[start] !== ZERO || at === start + 1)) return;
    const word = bytes.toString("latin1", start, at);
    if (word === "true" || word === "false" || word === "null" || NUMBER.test(word)) return;
    this.#at = start;
    this.#fail(word === "" ? "a value is missing" : "an unknown value");
  }

  #key(seen: Set<string>): string {
    const start = this.#at;
    const escaped = this.#string();
    const raw = this.#bytes.toString("utf8", start + 1, this.#at - 1);
    const key = escaped ? String(JSON.parse(`"${raw}"`)) : raw;
    if (key === FORBIDDEN)
      this.#refuse("request.json_prototype", `the key ${key} is not allowed`, key);
    if (seen.has(key))
      this.#refuse("request.json_duplicate_key", `the key ${key} is there twice`, key);
    seen.add(key);
    if (this.#isMedia(key)) this.mediaParts += 1;
    return key;
  }

  /** `messages[0].content[0].image_url`, or `messages[0].audio`: an earlier answer, by its id. */
  #isMedia(key: string): boolean {
    const { length } = this.#path;
    if ((length !== 4 && length !== 2) || this.#path[0] !== "messages") return false;
    return length === 2 ? key === "audio" : this.#path[2] === "content" && !TEXT_PART.has(key);
  }

  #refuse(code: FaultCode, message: string, key: string): never {
    throw new Broken(code, message, pathText([...this.#path, key]));
  }

  #object(depth: number): void {
    this.#at += 1;
    if (this.#space() === CLOSE_BRACE) {
      this.#at += 1;
      return;
    }
    const seen = new Set<string>();
    for (;;) {
      if (this.#space() !== QUOTE) this.#fail("a key is missing");
      const key = this.#key(seen);
      if (this.#space() !== COLON) this.#fail("a colon is missing");
      this.#at += 1;
      this.#space();
      const start = this.#at;
      this.#path.push(key);
      this.#value(depth + 1);
      this.#path.pop();
      if (depth === 1) this.fields.set(key, { start, end: this.#at });
      const next = this.#space();
      this.#at += 1;
      if (next === CLOSE_BRACE) return;
      if (next !== COMMA) this.#fail("a comma or brace is missing");
    }
  }

  #array(depth: number): void {
    this.#at += 1;
    if (this.#space() === CLOSE_BRACKET) {
      this.#at += 1;
      return;
    }
    for (let index = 0; ; index += 1) {
      this.#space();
      this.#path.push(index);
      this.#value(depth + 1);
      this.#path.pop();
      const next = this.#space();
      this.#at += 1;
      if (next === CLOSE_BRACKET) return;
      if (next !== COMMA) this.#fail("a comma or bracket is missing");
    }
  }

  #value(depth: number): void {
    const byte = this.#bytes[this.#at];
    if (byte === QUOTE) {
      this.#string();
      return;
    }
    if (byte !== OPEN_BRACE && byte !== OPEN_BRACKET) {
      this.#scalar();
      return;
    }
    if (depth > JSON_DEPTH_MAX) {
      throw new Broken(
        "request.json_depth",
        `the body nests deeper than ${JSON_DEPTH_MAX} levels`,
        pathText(this.#path.slice(0, 8)),
      );
    }
    if (byte === OPEN_BRACE) this.#object(depth);
    else this.#array(depth);
  }

  /** Answers the offset after the opening brace. */
  document(): number {
    if (this.#space() !== OPEN_BRACE)
      throw new Broken("request.json", "the body must be a JSON object");
    const inside = this.#at + 1;
    this.#value(1);
    if (this.#space() !== -1) this.#fail("something follows the object");
    return inside;
  }
}

/** `messages[0].role` */
export function pathText(path: readonly (string | number)[]): string {
  let out = "";
  for (const step of path)
    out += typeof step === "number" ? `[${step}]` : out === "" ? step : `.${step}`;
  return out;
}

export function peekJson(bytes: Uint8Array): Peeked | Refusal {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!isUtf8(buffer)) return refuse("request.json", "the body is no valid UTF-8");
  const scanner = new Scanner(buffer);
  try {
    const inside = scanner.document();
    return { ok: true, buffer, inside, fields: scanner.fields, mediaParts: scanner.mediaParts };
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    const { code, message, field } = error;
    return refuse(code, message, field === undefined ? {} : { field });
  }
}

/** The value of a top-level field, or undefined when it is absent. */
export function valueOf({ buffer, fields }: Peeked, field: string): unknown {
  const span = fields.get(field);
  return span && JSON.parse(buffer.toString("utf8", span.start, span.end));
}

/** Replace the bytes from `start` to `end` by `by`. */
export interface Edit extends Span {
  readonly by: Uint8Array;
}

/** Edits must not overlap. The same bytes come back when there is nothing to do. */
export function splice(
  bytes: Uint8Array<ArrayBuffer>,
  edits: readonly Edit[],
): Uint8Array<ArrayBuffer> {
  if (edits.length === 0) return bytes;
  const ordered = [...edits].sort((left, right) => left.start - right.start);
  const out = new Uint8Array(
    ordered.reduce(
      (length, edit) => length + edit.by.length - (edit.end - edit.start),
      bytes.length,
    ),
  );
  let from = 0;
  let to = 0;
  for (const edit of ordered) {
    out.set(bytes.subarray(from, edit.start), to);
    to += edit.start - from;
    out.set(edit.by, to);
    to += edit.by.length;
    from = edit.end;
  }
  out.set(bytes.subarray(from), to);
  return out;
}
