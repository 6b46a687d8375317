// Reads a body of the OpenAI dialect into an Ask. Pure.
// Invariant: a field that would change the answer is either obeyed or refused by name; none is dropped in silence.

import { z } from "zod";
import { refuse, type Refusal } from "../kit/fault.ts";
import type { Ask, EmbedAsk, Prompt, Sampling, Turn } from "./types.ts";

export const CHOICES_MAX = 8;
const PROMPTS_MAX = 16;
const INPUTS_MAX = 256;
/** llama.cpp's own server samples this way when a caller says nothing; cooler, because our models are small. */
const DEFAULTS = { temperature: 0.7, topP: 0.95, topK: 40, minP: 0.05 } as const;

type Read<T> = { readonly ok: true; readonly value: T } | Refusal;

/** Accepted and without effect here: they name the caller, or steer a cache or a tier that we do not have. */
const NO_EFFECT = new Set([
  "user",
  "metadata",
  "service_tier",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_retention",
  "parallel_tool_calls",
]);

const isEmpty = (value: unknown) =>
  value !== null && typeof value === "object" && Object.keys(value).length === 0;
const isNoChoice = (value: unknown) => value === "none" || value === "auto";

/** What we cannot do, and the values of it that ask for nothing. */
const UNSUPPORTED: Readonly<Record<string, (value: unknown) => boolean>> = {
  logprobs: (value) => value === false,
  top_logprobs: (value) => value === 0,
  tools: isEmpty,
  tool_choice: isNoChoice,
  functions: isEmpty,
  function_call: isNoChoice,
  response_format: (value) => value instanceof Object && "type" in value && value.type === "text",
  logit_bias: isEmpty,
  echo: (value) => value === false,
  best_of: (value) => value === 1,
  suffix: (value) => value === "",
  modalities: (value) => Array.isArray(value) && value.every((each) => each === "text"),
  store: (value) => value === false,
};

const Part = z.strictObject({ type: z.literal("text"), text: z.string() });
const Message = z.object({
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: z.union([z.string(), z.array(Part).min(1)]),
});

const shared = {
  model: z.string().min(1).max(200),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  n: z.int().min(1).max(CHOICES_MAX).nullish(),
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(-1).max(100_000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(16)]).nullish(),
};
const Chat = z.object({
  ...shared,
  max_completion_tokens: z.int().min(1).nullish(),
  messages: z.array(Message).min(1).max(2_000),
});
const Completion = z.object({
  ...shared,
  prompt: z.union([z.string(), z.array(z.string()).min(1).max(PROMPTS_MAX)]),
});
const Embedding = z.object({
  model: shared.model,
  input: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(INPUTS_MAX)]),
  encoding_format: z.enum(["float", "base64"]).nullish(),
});

function pathOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === "number" ? `${text}[${part}]` : `${text}${text && "."}${String(part)}`,
    "",
  );
}

/** A union's own path ends too early: the branch that got furthest names the field that people look for. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union") return issue;
  const inner = issue.errors
    .flat()
    .map(deepest)
    .toSorted((left, right) => right.path.length - left.path.length)[0];
  return inner ? { ...inner, path: [...issue.path, ...inner.path] } : issue;
}

function unsupported(field: string, what = "the embedded engine does not support it"): Refusal {
  return refuse("request.unsupported", `${field}: ${what}`, { field });
}

function judgeFields(body: object, known: ReadonlySet<string>): Refusal | undefined {
  for (const [field, value] of Object.entries(body)) {
    if (value === null || known.has(field) || NO_EFFECT.has(field)) continue;
    if (!(Object.hasOwn(UNSUPPORTED, field) && UNSUPPORTED[field]?.(value)))
      return unsupported(field);
  }
  return undefined;
}

/** Roles, parts and message fields that are right in the dialect and that we cannot serve, told apart from wrong ones. */
function judgeMessages(body: object): Refusal | undefined {
  if (!("messages" in body) || !Array.isArray(body.messages)) return undefined;
  const messages: readonly unknown[] = body.messages;
  for (const [at, message] of messages.entries()) {
    if (!(message instanceof Object)) continue;
    const field = `messages[${at}]`;
    if ("role" in message && (message.role === "tool" || message.role === "function"))
      return unsupported(`${field}.role`, "the embedded engine knows no tools");
    for (const name of ["tool_calls", "function_call", "audio"])
      if (name in message && Object.getOwnPropertyDescriptor(message, name)?.value)
        return unsupported(`${field}.${name}`);
    if (!("content" in message) || !Array.isArray(message.content)) continue;
    const parts: readonly unknown[] = message.content;
    const other = parts.findIndex(
      (part) => part instanceof Object && "type" in part && part.type !== "text",
    );
    if (other >= 0)
      return unsupported(`${field}.content[${other}].type`, "the embedded engine reads text only");
  }
  return undefined;
}

function parse<S extends z.ZodObject>(schema: S, body: unknown): Read<z.output<S>> {
  if (body === null || typeof body !== "object" || Array.isArray(body))
    return refuse("request.invalid", "the body must be a JSON object");
  const refused = judgeFields(body, new Set(Object.keys(schema.shape))) ?? judgeMessages(body);
  if (refused) return refused;
  const parsed = schema.safeParse(body);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  const found = issue && deepest(issue);
  const field = found ? pathOf(found.path) : "";
  return refuse("request.invalid", `${field}: ${found?.message ?? "not valid"}`, { field });
}

type Shared = z.output<z.ZodObject<typeof shared>>;

const samplingOf = (body: Shared): Sampling => ({
  temperature: body.temperature ?? DEFAULTS.temperature,
  topP: body.top_p ?? DEFAULTS.topP,
  topK: Math.max(0, body.top_k ?? DEFAULTS.topK),
  minP: body.min_p ?? DEFAULTS.minP,
  presencePenalty: body.presence_penalty ?? 0,
  frequencyPenalty: body.frequency_penalty ?? 0,
  seed: typeof body.seed === "number" ? Number(BigInt.asUintN(32, BigInt(body.seed))) : undefined,
});

function listOf(value: string | readonly string[] | null | undefined): readonly string[] {
  if (value === null || value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}

const commonOf = (body: Shared) => ({
  model: body.model,
  n: body.n ?? 1,
  stops: listOf(body.stop),
  sampling: samplingOf(body),
  stream: body.stream ?? false,
  includeUsage: body.stream_options?.include_usage ?? false,
});

const turnOf = (message: z.output<typeof Message>): Turn => ({
  role: message.role === "developer" ? "system" : message.role,
  text:
    typeof message.content === "string"
      ? message.content
      : message.content.map((part) => part.text).join(""),
});

export function readChat(body: unknown): Read<Ask> {
  const parsed = parse(Chat, body);
  if (!parsed.ok) return parsed;
  const chat = parsed.value;
  const [old, current] = [chat.max_tokens ?? undefined, chat.max_completion_tokens ?? undefined];
  if (old !== undefined && current !== undefined && old !== current)
    return refuse("request.invalid", "max_tokens and max_completion_tokens differ: send one", {
      field: "max_tokens",
    });
  const prompt: Prompt = { kind: "chat", turns: chat.messages.map(turnOf), field: "messages" };
  return {
    ok: true,
    value: {
      ...commonOf(chat),
      kind: "chat",
      prompts: [prompt],
      outputTokensMax: current ?? old,
      outputField: current === undefined ? "max_tokens" : "max_completion_tokens",
    },
  };
}

export function readCompletion(body: unknown): Read<Ask> {
  const parsed = parse(Completion, body);
  if (!parsed.ok) return parsed;
  const { prompt, max_tokens: outputTokensMax } = parsed.value;
  const prompts = listOf(prompt).map((text, at): Prompt => ({
    kind: "text",
    text,
    field: typeof prompt === "string" ? "prompt" : `prompt[${at}]`,
  }));
  return {
    ok: true,
    value: {
      ...commonOf(parsed.value),
      kind: "text",
      prompts,
      outputTokensMax: outputTokensMax ?? undefined,
      outputField: "max_tokens",
    },
  };
}

export function readEmbedding(body: unknown): Read<EmbedAsk> {
  const parsed = parse(Embedding, body);
  if (!parsed.ok) return parsed;
  const { model, input, encoding_format: encoding } = parsed.value;
  return { ok: true, value: { model, inputs: listOf(input), base64: encoding === "base64" } };
}
