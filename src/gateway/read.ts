// Step 2, read: the body within its bounds, checked as far as the gateway depends on it; everything else passes untouched.
// Invariant: what goes upstream is the caller's own bytes with only the model's name (and, on streams, the wish for usage) spliced in.

import type { Endpoint } from "../billing/metering/types.ts";
import { beforeDeadline } from "../kit/deadline.ts";
import { refuse, type Refusal } from "../kit/fault.ts";
import { peekJson, splice, valueOf, type Edit, type Peeked } from "./peek.rules.ts";
import type { GatewayLimits, Reading } from "./types.ts";

const OUTPUT_TOKENS_MAX = 2 ** 31 - 1;
const CHOICES_MAX = 128;
const MODEL_CHARACTERS_MAX = 200;
/** `n_predict`: llama.cpp's own, which overrules the others. */
const OUTPUT_CAPS = ["max_tokens", "max_completion_tokens", "n_predict"] as const;
/** Others cost more than the price list knows. */
const TIERS: readonly unknown[] = [undefined, null, "auto", "default", "standard"];
const CHOICES = { chat: ["n"], completions: ["n", "best_of"] } as const;
const utf8 = new TextEncoder();

/** The field without which the endpoint makes no sense, and the bytes its value may begin with. */
const SUBJECT: Readonly<
  Record<Endpoint, { readonly field: string; readonly begins: string; readonly kind: string }>
> = {
  chat: { field: "messages", begins: "[", kind: "an array of messages" },
  completions: { field: "prompt", begins: '["', kind: "a string or an array" },
  embeddings: { field: "input", begins: '["', kind: "a string or an array" },
};

type Bytes = Uint8Array<ArrayBuffer>;

function joined(parts: readonly Uint8Array[], length: number): Bytes {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Counted while it comes, so that an endless body is never held; undefined: it passed the bound and was cancelled. */
export async function readBounded(
  body: ReadableStream<Uint8Array>,
  bytesMax: number,
  onChunk: () => void = () => {},
): Promise<Bytes | undefined> {
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done || value === undefined) return joined(parts, length);
    onChunk();
    length += value.length;
    if (length > bytesMax) {
      // The other side may go on sending; nobody waits for it.
      void reader.cancel().catch(() => {});
      return undefined;
    }
    parts.push(value);
  }
}

function bodyOf(request: Request, bytesMax: number): Promise<Bytes | undefined> {
  const length = request.headers.get("content-length");
  if (length === null)
    return request.body === null
      ? Promise.resolve(new Uint8Array())
      : readBounded(request.body, bytesMax);
  return Number(length) > bytesMax ? Promise.resolve(undefined) : request.bytes();
}

/** Reads at most `bodyBytesMax` bytes within `bodyTimeoutMs`. */
export async function readBody(request: Request, limits: GatewayLimits): Promise<Bytes | Refusal> {
  const { bodyBytesMax, bodyTimeoutMs } = limits;
  try {
    const late = () => refuse("request.timeout", "The body did not arrive in time.");
    const bytes = await beforeDeadline(bodyOf(request, bodyBytesMax), bodyTimeoutMs, late);
    if (bytes !== undefined && !(bytes instanceof Uint8Array)) return bytes;
    if (bytes === undefined || bytes.length > bodyBytesMax)
      return refuse("request.too_large", `The body is larger than ${bodyBytesMax} bytes.`);
    return bytes;
  } catch {
    return refuse("request.invalid", "The body was cut off.");
  }
}

const invalid = (field: string, message: string) =>
  refuse("request.invalid", `${field} ${message}`, { field });

function isCount(value: unknown, most: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= most;
}

type Cap = { readonly ok: true; readonly cap: Reading["outputCap"] };

/** The caller's cap on one choice, or a refusal naming the field. */
function outputCap(peeked: Peeked): Cap | Refusal {
  let cap: Reading["outputCap"];
  for (const field of OUTPUT_CAPS) {
    const value = valueOf(peeked, field);
    if (value === undefined || value === null) continue;
    if (!isCount(value, OUTPUT_TOKENS_MAX))
      return invalid(field, `must be a whole number from 1 to ${OUTPUT_TOKENS_MAX}.`);
    if (cap === undefined || value > cap.tokens) cap = { tokens: value, field };
  }
  return { ok: true, cap };
}

/** A prompt may be a text, tokens, or a list of either; each of a list is answered on its own. */
function promptsIn(prompt: unknown): number {
  if (!Array.isArray(prompt) || typeof prompt[0] === "number") return 1;
  return Math.max(1, prompt.length);
}

type Choices = { readonly ok: true; readonly choices: number };

/** How many answers the upstream will write. */
function choicesOf(peeked: Peeked, endpoint: Endpoint): Choices | Refusal {
  if (endpoint === "embeddings") return { ok: true, choices: 0 };
  let most = 1;
  for (const field of CHOICES[endpoint]) {
    const value = valueOf(peeked, field) ?? 1;
    if (!isCount(value, CHOICES_MAX))
      return invalid(field, `must be a whole number from 1 to ${CHOICES_MAX}.`);
    most = Math.max(most, value);
  }
  const isList =
    endpoint === "completions" && peeked.buffer[peeked.fields.get("prompt")?.start ?? 0] === 0x5b;
  const prompts = isList ? promptsIn(valueOf(peeked, "prompt")) : 1;
  return { ok: true, choices: most * prompts };
}

interface StreamWish {
  readonly ok: true;
  readonly streamed: boolean;
  readonly wantsUsage: boolean;
  readonly edits: readonly Edit[];
}

function streamWish(peeked: Peeked, endpoint: Endpoint): StreamWish | Refusal {
  const stream = valueOf(peeked, "stream") ?? false;
  if (typeof stream !== "boolean") return invalid("stream", "must be true or false.");
  if (stream && endpoint === "embeddings") return invalid("stream", "is not for embeddings.");
  const options = valueOf(peeked, "stream_options") ?? {};
  if (typeof options !== "object" || options === null || Array.isArray(options))
    return invalid("stream_options", "must be an object.");
  const wish = Reflect.get(options, "include_usage") ?? false;
  if (typeof wish !== "boolean")
    return invalid("stream_options.include_usage", "must be true or false.");
  return wishOf(peeked, stream, wish, options);
}

/** In place of the field's value where it is there (`null`, say): a key twice would be read differently by others. */
function setField(peeked: Peeked, field: string, json: string): Edit {
  const span = peeked.fields.get(field);
  return span
    ? { ...span, by: utf8.encode(json) }
    : { start: peeked.inside, end: peeked.inside, by: utf8.encode(`"${field}":${json},`) };
}

/** Usage is always asked for on streams; the edit that does so, when the caller did not. */
function wishOf(
  peeked: Peeked,
  streamed: boolean,
  wantsUsage: boolean,
  options: object,
): StreamWish {
  if (!streamed || wantsUsage) return { ok: true, streamed, wantsUsage, edits: [] };
  const wish = JSON.stringify({ ...options, include_usage: true });
  return { ok: true, streamed, wantsUsage, edits: [setField(peeked, "stream_options", wish)] };
}

function capEdit(peeked: Peeked, endpoint: Endpoint, cap: number): Edit {
  return setField(peeked, endpoint === "chat" ? "max_completion_tokens" : "max_tokens", `${cap}`);
}

export function readRequest(
  bytes: Uint8Array<ArrayBuffer>,
  endpoint: Endpoint,
): ({ ok: true } & Reading) | Refusal {
  const peeked = peekJson(bytes);
  if (!peeked.ok) return peeked;
  const model = valueOf(peeked, "model");
  const modelSpan = peeked.fields.get("model");
  if (
    typeof model !== "string" ||
    model === "" ||
    model.length > MODEL_CHARACTERS_MAX ||
    modelSpan === undefined
  ) {
    return invalid("model", "must be the name of a model.");
  }
  const subject = SUBJECT[endpoint];
  const span = peeked.fields.get(subject.field);
  if (span === undefined || !subject.begins.includes(String.fromCharCode(bytes[span.start] ?? 0))) {
    return invalid(subject.field, `must be ${subject.kind}.`);
  }
  if (!TIERS.includes(valueOf(peeked, "service_tier")))
    return refuse("request.unsupported", "service_tier can only be auto, default or standard.", {
      field: "service_tier",
      hint: "Prices of other tiers are not known here yet.",
    });
  const cap = outputCap(peeked);
  if (!cap.ok) return cap;
  const answers = choicesOf(peeked, endpoint);
  if (!answers.ok) return answers;
  const wish = streamWish(peeked, endpoint);
  if (!wish.ok) return wish;
  return {
    ok: true,
    bytes,
    model,
    streamed: wish.streamed,
    wantsUsage: wish.wantsUsage,
    outputCap: cap.cap,
    choices: answers.choices,
    mediaParts: peeked.mediaParts,
    bodyFor: (name, cap) => {
      const edits = [...wish.edits];
      if (cap !== undefined) edits.push(capEdit(peeked, endpoint, cap));
      if (name !== model) edits.push({ ...modelSpan, by: utf8.encode(JSON.stringify(name)) });
      return splice(bytes, edits);
    },
  };
}
