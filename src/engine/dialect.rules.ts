// Answers and refusals in OpenAI's shapes. Pure.

import type { Fault, FaultCode } from "../kit/fault.ts";
import type { Ask, FinishReason, Usage } from "./types.ts";

/** What all parts of one answer share. */
export interface AnswerHead {
  readonly id: string;
  readonly createdS: number;
  readonly ask: Ask;
  /** Of the model's file: equal seeds give equal text only under an equal fingerprint. */
  readonly digest: string;
}

export interface Choice {
  readonly text: string;
  readonly finish: FinishReason | null;
}

const toUsage = (usage: Usage) => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.outputTokens,
  total_tokens: usage.promptTokens + usage.outputTokens,
});

const headOf = ({ id, createdS, ask, digest }: AnswerHead, object: string) => ({
  id,
  object,
  created: createdS,
  model: ask.model,
  system_fingerprint: `fp_${digest.slice(0, 10)}`,
});

export function toAnswer(head: AnswerHead, choices: readonly Choice[], usage: Usage): unknown {
  const isChat = head.ask.kind === "chat";
  return {
    ...headOf(head, isChat ? "chat.completion" : "text_completion"),
    choices: choices.map(({ text, finish }, index) => ({
      index,
      ...(isChat ? { message: { role: "assistant", content: text, refusal: null } } : { text }),
      logprobs: null,
      finish_reason: finish,
    })),
    usage: toUsage(usage),
  };
}

const chunkObject = (ask: Ask) =>
  ask.kind === "chat" ? "chat.completion.chunk" : "text_completion";

/** `first`: whether it is this choice's first, which in a chat names the role. */
export function toChunk(head: AnswerHead, index: number, part: Choice, first: boolean): unknown {
  const role = first ? { role: "assistant" } : {};
  const content = part.text === "" && !first ? {} : { content: part.text };
  const body = head.ask.kind === "chat" ? { delta: { ...role, ...content } } : { text: part.text };
  return {
    ...headOf(head, chunkObject(head.ask)),
    choices: [{ index, ...body, logprobs: null, finish_reason: part.finish }],
    ...(head.ask.includeUsage ? { usage: null } : {}),
  };
}

export function toUsageChunk(head: AnswerHead, usage: Usage): unknown {
  return { ...headOf(head, chunkObject(head.ask)), choices: [], usage: toUsage(usage) };
}

export function toEmbeddings(
  model: string,
  vectors: readonly (readonly number[])[],
  base64: boolean,
  promptTokens: number,
): unknown {
  const write = (vector: readonly number[]) =>
    base64 ? Buffer.from(new Float32Array(vector).buffer).toString("base64") : vector;
  return {
    object: "list",
    data: vectors.map((vector, index) => ({
      object: "embedding",
      index,
      embedding: write(vector),
    })),
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
  };
}

export interface ListedModel {
  readonly name: string;
  readonly contextTokens: number;
}

export function toModelList(models: readonly ListedModel[], createdS: number): unknown {
  const data = models.map(({ name, contextTokens }) => ({
    id: name,
    object: "model",
    created: createdS,
    owned_by: "intertie",
    max_model_len: contextTokens,
  }));
  return { object: "list", data };
}

/** OpenAI's own word where its clients know one. */
const CODES: Readonly<Partial<Record<FaultCode, string>>> = {
  "key.missing": "invalid_api_key",
  "key.unknown": "invalid_api_key",
  "model.unknown": "model_not_found",
  "model.context_exceeded": "context_length_exceeded",
};

export function toError(fault: Pick<Fault, "code" | "status" | "message" | "field" | "hint">) {
  const { code, message, field, hint } = fault;
  return {
    error: {
      message: hint === undefined ? message : `${message}; ${hint}`,
      type: fault.status >= 500 ? "server_error" : "invalid_request_error",
      param: field ?? null,
      code: CODES[code] ?? code,
    },
  };
}
