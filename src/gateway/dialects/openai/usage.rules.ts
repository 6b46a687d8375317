// Usage in OpenAI's shape → quantities. Pure.
// Invariants: quantities are disjoint (cached input is taken out of input, reasoning out of output); a count that is negative,
// fractional, absurd or larger than its whole is not believed: the caller then falls back to what was relayed.

import type { Quantity, ServedTier } from "../../../billing/metering/types.ts";

/** Beyond any real request; a lying upstream must not fill the ledger. */
const TOKENS_MAX = 1_000_000_000;

function count(value: unknown): bigint | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= TOKENS_MAX
    ? BigInt(value)
    : undefined;
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** A missing part is 0, a wrong one spoils the whole usage. */
function part(value: unknown): bigint | undefined {
  return value === undefined || value === null ? 0n : count(value);
}

interface Counts {
  readonly input: bigint;
  readonly cached: bigint;
  readonly audioIn: bigint;
  readonly output: bigint;
  readonly reasoning: bigint;
  readonly audioOut: bigint;
}

const min = (left: bigint, right: bigint) => (left < right ? left : right);
const max = (left: bigint, right: bigint) => (left > right ? left : right);

function countsOf(usage: unknown): Counts | undefined {
  const asked = field(usage, "prompt_tokens_details");
  const said = field(usage, "completion_tokens_details");
  const input = count(field(usage, "prompt_tokens"));
  const told = part(field(usage, "completion_tokens"));
  const total = part(field(usage, "total_tokens"));
  const cached = part(field(asked, "cached_tokens"));
  const reasoning = part(field(said, "reasoning_tokens"));
  const audioIn = part(field(asked, "audio_tokens"));
  const audioOut = part(field(said, "audio_tokens"));
  if (
    input === undefined ||
    told === undefined ||
    total === undefined ||
    cached === undefined ||
    reasoning === undefined ||
    audioIn === undefined ||
    audioOut === undefined
  )
    return undefined;
  // Some providers count reasoning beside the output instead of in it; then only the total tells, or the reasoning alone.
  const output = max(reasoning > told ? told + reasoning : told, total - input);
  if (cached > input || output > BigInt(TOKENS_MAX)) return undefined;
  return { input, cached, audioIn, output, reasoning, audioOut };
}

/** Undefined when the usage cannot be believed. */
export function toQuantities(usage: unknown): Quantity[] | undefined {
  const counts = countsOf(usage);
  if (counts === undefined) return undefined;
  const { input, cached, output, reasoning } = counts;
  const audioIn = min(counts.audioIn, input - cached);
  const audioOut = min(counts.audioOut, output - reasoning);
  const quantities: Quantity[] = [];
  const add = (meter: Quantity["meter"], amount: bigint) => {
    if (amount > 0n) quantities.push({ meter, amount, source: "reported" });
  };
  add("input_tokens", input - cached - audioIn);
  add("cached_input_tokens", cached);
  add("audio_input_tokens", audioIn);
  add("output_tokens", output - reasoning - audioOut);
  add("reasoning_tokens", reasoning);
  add("audio_output_tokens", audioOut);
  return quantities;
}

const OUTPUT: readonly Quantity["meter"][] = [
  "output_tokens",
  "reasoning_tokens",
  "audio_output_tokens",
];
const INPUT: readonly Quantity["meter"][] = [
  "input_tokens",
  "cached_input_tokens",
  "audio_input_tokens",
];

/** What was told, and what we saw in place of an input or output of nothing that cannot be true; `seen` is asked only then. */
export function fillGaps(
  told: readonly Quantity[],
  writes: boolean,
  seen: () => readonly Quantity[],
): readonly Quantity[] {
  const lacks = (meters: readonly Quantity["meter"][]) =>
    !told.some(({ meter }) => meters.includes(meter));
  const gaps = (writes ? [INPUT, OUTPUT] : [INPUT]).filter(lacks).flat();
  if (gaps.length === 0) return told;
  return [...told, ...seen().filter(({ meter }) => gaps.includes(meter))];
}

/** English text is about four bytes a token; also what a JSON body around it costs, so it is rather too high. */
const BYTES_A_TOKEN = 4;

/**
 * Tokens of a stream that told no usage. Most upstreams send one a event, which is exact; where events say clearly more than one
 * token does (several at a time, or all of a tool call), it is their text that tells.
 */
export function countOutput(
  events: number,
  textBytes: number,
): { readonly tokens: number; readonly source: Quantity["source"] } {
  return textBytes > events * 2 * BYTES_A_TOKEN
    ? { tokens: Math.ceil(textBytes / BYTES_A_TOKEN), source: "estimated" }
    : { tokens: events, source: "counted" };
}

/** When the upstream told nothing: input from the request's bytes, output as counted while relaying or as estimated. */
export function estimateQuantities(
  requestBytes: number,
  outputTokens: number,
  source: Quantity["source"] = "counted",
): Quantity[] {
  const input: Quantity = {
    meter: "input_tokens",
    amount: BigInt(Math.ceil(requestBytes / BYTES_A_TOKEN)),
    source: "estimated",
  };
  return outputTokens === 0
    ? [input]
    : [input, { meter: "output_tokens", amount: BigInt(outputTokens), source }];
}

/** Characters of all texts in a value, keys apart. */
function textLength(value: unknown): number {
  if (typeof value === "string") return value.length;
  if (typeof value !== "object" || value === null) return 0;
  return Object.values(value).reduce((sum: number, each: unknown) => sum + textLength(each), 0);
}

const SAID = ["content", "refusal", "reasoning", "reasoning_content", "tool_calls"];

/** Output of a whole answer that tells no usage, from what its choices say; 0 when it has none (embeddings). */
export function estimateOutput(answer: Uint8Array): number {
  try {
    const choices = field(JSON.parse(Buffer.from(answer).toString("utf8")), "choices");
    const texts = (Array.isArray(choices) ? choices : []).flatMap((choice: unknown) => [
      field(choice, "text"),
      ...SAID.map((name) => field(field(choice, "message"), name)),
    ]);
    return Math.ceil(textLength(texts) / BYTES_A_TOKEN);
  } catch {
    return 0;
  }
}

const TIERS: readonly ServedTier[] = ["flex", "priority", "batch"];
const TIER_KEY = Buffer.from('"service_tier"');
const TIER = /^"service_tier"\s*:\s*"([a-z]{1,16})"/;

/** The tier that an answer says it was served in. Inside a text the key's quotes would be escaped. */
export function findServedTier(bytes: Uint8Array): ServedTier {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = buffer.lastIndexOf(TIER_KEY);
  const told = at < 0 ? null : TIER.exec(buffer.toString("latin1", at, at + 64));
  return TIERS.find((tier) => tier === told?.[1]) ?? "standard";
}

const USAGE_KEY = Buffer.from('"usage"');
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** The end of the object that opens at `start`, exclusive; undefined when it is cut. Strings are skipped whole. */
function objectEnd(bytes: Uint8Array, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      for (at += 1; at < bytes.length && bytes[at] !== QUOTE; at += 1)
        if (bytes[at] === BACKSLASH) at += 1;
    } else if (byte === 0x7b) {
      depth += 1;
    } else if (byte === 0x7d) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return undefined;
}

/**
 * The last `"usage": {…}` in these bytes, found by byte search. A key inside a string is escaped (`\"usage\"`) and so does not
 * match. Undefined when there is none (`"usage": null` counts as none).
 */
export function findUsage(bytes: Uint8Array): unknown {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (
    let at = buffer.lastIndexOf(USAGE_KEY);
    at >= 0;
    at = at === 0 ? -1 : buffer.lastIndexOf(USAGE_KEY, at - 1)
  ) {
    if (at > 0 && bytes[at - 1] === BACKSLASH) continue;
    let start = at + USAGE_KEY.length;
    while (bytes[start] === 0x20 || bytes[start] === 0x3a) start += 1;
    if (bytes[start] !== 0x7b) continue;
    const end = objectEnd(bytes, start);
    if (end === undefined) continue;
    try {
      return JSON.parse(buffer.toString("utf8", start, end)) as unknown;
    } catch {
      continue;
    }
  }
  return undefined;
}
