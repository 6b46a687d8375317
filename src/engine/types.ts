// What callers ask of the embedded engine, once read and checked, and what it gives back.

import type { Clock, Dice } from "../kit/clock.ts";
import type { Log } from "../kit/log.ts";

export interface Turn {
  readonly role: "system" | "user" | "assistant";
  readonly text: string;
}

/** `field`: where it was in the body, for refusals. */
export type Prompt =
  | { readonly kind: "chat"; readonly turns: readonly Turn[]; readonly field: string }
  | { readonly kind: "text"; readonly text: string; readonly field: string };

export interface Sampling {
  readonly temperature: number;
  readonly topP: number;
  /** 0: all. */
  readonly topK: number;
  readonly minP: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  /** 32 bits; undefined: by dice. */
  readonly seed: number | undefined;
}

export interface Ask {
  readonly kind: Prompt["kind"];
  readonly model: string;
  /** A chat has one. */
  readonly prompts: readonly Prompt[];
  /** Choices for each prompt. */
  readonly n: number;
  /** Undefined: the caller named no bound. */
  readonly outputTokensMax: number | undefined;
  readonly outputField: "max_tokens" | "max_completion_tokens";
  readonly stops: readonly string[];
  readonly sampling: Sampling;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

export interface EmbedAsk {
  readonly model: string;
  readonly inputs: readonly string[];
  readonly base64: boolean;
}

export type FinishReason = "stop" | "length";

/** A part of one choice's text; the last one says why it ended and may be empty. */
export interface Piece {
  readonly text: string;
  readonly finish: FinishReason | null;
}

export interface Usage {
  readonly promptTokens: number;
  /** Every token that was sampled, the end-of-turn token included, as llama.cpp and vLLM count. */
  readonly outputTokens: number;
}

export interface EngineOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** What callers of /v1 send as bearer. */
  readonly bearer: string;
  /** Holds `models.json` and the GGUF files it names. */
  readonly artifactsDir: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly dice: Dice;
  /** llama.cpp's threads; undefined: by the machine. */
  readonly threads?: number;
  /** Requests of one model that run at a time. */
  readonly slots?: number;
  /** Requests of one model that wait for a slot; beyond them 503. */
  readonly waitingMax?: number;
}

export interface Engine {
  readonly url: string;
  readonly port: number;
  /** Refuses new requests, lets open ones end within the bound, cuts the rest, frees the models. */
  drain(withinMs: number): Promise<void>;
}
