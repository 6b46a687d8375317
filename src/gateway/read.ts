// Step 2, read: the body within its bounds, checked as far as the gateway depends on it; everything else passes untouched.
// Invariant: what goes upstream is the caller's own bytes with only the model's name (and, on streams, the wish for usage) spliced in.

import type { Endpoint } from "../billing/metering/types.ts";
import { refuse, type Refusal } from "../kit/fault.ts";
import { peekJson, splice, valueOf, type Edit, type Peeked } from "./peek.rules.ts";
import type { GatewayLimits, Reading } from "./types.ts";

const OUTPUT_TOKENS_MAX = 2 ** 31 - 1;
const CHOICES_MAX = 128;
const MODEL_CHARACTERS_MAX = 200;
const utf8 = new TextEncoder();

/** The field without which the endpoint makes no sense, and the bytes its value may begin with. */
const SUBJECT: Readonly<
  Record<Endpoint, { readonly field: string; readonly begins: string; readonly kind: string }>
> = {
  chat: { field: "messages", begins: "[", kind: "an array of messages" },
  completions: { field: "prompt", begins: '["', kind: "a string or an array" },
  embeddings: { field: "input", begins: '["', kind: "a string or an array" },
};

type Bytes = { readonly ok: true; readonly bytes: Uint8Array<ArrayBuffer> };

/** Reads at most `bodyBytesMax` bytes within `bodyTimeoutMs`. */
export async function readBody(request: Request, limits: GatewayLimits): Promise<Bytes | Refusal> {
  const tooLarge = refuse(
    "request.too_large",
    `The body is larger than ${limits.bodyBytesMax} bytes.`,
  );
  if (Number(request.headers.get("content-length") ?? "0") > limits.bodyBytesMax) return tooLarge;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Refusal>((resolve) => {
    timer = setTimeout(
      () => resolve(refuse("request.timeout", "The body did not arrive in time.")),
      limits.bodyTimeoutMs,
    );
  });
  try {
    const whole = request
      .bytes()
      .then((bytes): Bytes | Refusal =>
        bytes.length > limits.bodyBytesMax ? tooLarge : { ok: true, bytes },
      );
    return await Promise.race([whole, late]);
  } catch {
    return refuse("request.invalid", "The body was cut off.");
  } finally {
    clearTimeout(timer);
  }
}

const invalid = (field: string, message: string) =>
  refuse("request.invalid", `${field} ${message}`, { field });

function isCount(value: unknown, most: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= most;
}

type Cap = { readonly ok: true; readonly cap: Reading["outputCap"] };

/** The caller's cap on one choice, or a refusal naming the field. */
function outputCap(bytes: Uint8Array, peeked: Peeked): Cap | Refusal {
  let cap: Reading["outputCap"];
  for (const field of ["max_tokens", "max_completion_tokens"]) {
    const value = valueOf(bytes, peeked, field);
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
function choicesOf(bytes: Uint8Array, peeked: Peeked, endpoint: Endpoint): Choices | Refusal {
  if (endpoint === "embeddings") return { ok: true, choices: 0 };
  let most = 1;
  for (const field of endpoint === "chat" ? ["n"] : ["n", "best_of"]) {
    const value = valueOf(bytes, peeked, field) ?? 1;
    if (!isCount(value, CHOICES_MAX))
      return invalid(field, `must be a whole number from 1 to ${CHOICES_MAX}.`);
    most = Math.max(most, value);
  }
  const isList =
    endpoint === "completions" && bytes[peeked.fields.get("prompt")?.start ?? 0] === 0x5b;
  const prompts = isList ? promptsIn(valueOf(bytes, peeked, "prompt")) : 1;
  return { ok: true, choices: most * prompts };
}

interface StreamWish {
  readonly ok: true;
  readonly streamed: boolean;
  readonly wantsUsage: boolean;
  readonly edits: readonly Edit[];
}

/** Usage is always asked for on streams; the edit that does so, when the caller did not. */
function streamWish(bytes: Uint8Array, peeked: Peeked, endpoint: Endpoint): StreamWish | Refusal {
  const stream = valueOf(bytes, peeked, "stream") ?? false;
  if (typeof stream !== "boolean") return invalid("stream", "must be true or false.");
  if (stream && endpoint === "embeddings") return invalid("stream", "is not for embeddings.");
  const options = valueOf(bytes, peeked, "stream_options") ?? {};
  if (typeof options !== "object" || options === null || Array.isArray(options))
    return invalid("stream_options", "must be an object.");
  const wantsUsage = Reflect.get(options, "include_usage") === true;
  if (!stream || wantsUsage) return { ok: true, streamed: stream, wantsUsage, edits: [] };
  const wish = JSON.stringify({ ...options, include_usage: true });
  const span = peeked.fields.get("stream_options");
  const edit = span
    ? { ...span, by: utf8.encode(wish) }
    : { start: peeked.inside, end: peeked.inside, by: utf8.encode(`"stream_options":${wish},`) };
  return { ok: true, streamed: true, wantsUsage, edits: [edit] };
}

export function readRequest(
  bytes: Uint8Array<ArrayBuffer>,
  endpoint: Endpoint,
): ({ ok: true } & Reading) | Refusal {
  const peeked = peekJson(bytes);
  if (!peeked.ok) return peeked;
  const model = valueOf(bytes, peeked, "model");
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
  const cap = outputCap(bytes, peeked);
  if (!cap.ok) return cap;
  const answers = choicesOf(bytes, peeked, endpoint);
  if (!answers.ok) return answers;
  const wish = streamWish(bytes, peeked, endpoint);
  if (!wish.ok) return wish;
  return {
    ok: true,
    bytes,
    model,
    streamed: wish.streamed,
    wantsUsage: wish.wantsUsage,
    outputCap: cap.cap,
    choices: answers.choices,
    bodyFor: (name) =>
      splice(
        bytes,
        name === model
          ? wish.edits
          : [...wish.edits, { ...modelSpan, by: utf8.encode(JSON.stringify(name)) }],
      ),
  };
}
