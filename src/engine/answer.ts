// Answers one Ask with a loaded model: bounds it, runs its choices in the model's slots, reports pieces as they come.
// Invariant: a slot is given back the moment its choice ends, fails or loses its caller.

import type { Dice } from "../kit/clock.ts";
import { Fault } from "../kit/fault.ts";
import type { Model } from "./llama.ts";
import type { Borrowed } from "./shelf.ts";
import type { Ask, EmbedAsk, Piece, Usage } from "./types.ts";

/** For callers who name no bound; room enough for a page of text. */
const OUTPUT_TOKENS_DEFAULT = 512;

type Tokens = ReturnType<Model["tokenize"]>;

/** A choice before it runs. */
export interface Planned {
  readonly tokens: Tokens;
  readonly outputTokensMax: number;
}

export interface Plan {
  readonly promptTokens: number;
  readonly choices: readonly Planned[];
}

/** How many tokens the running choices of each model hold. */
export interface HeldTokens {
  change(model: string, by: number): void;
}

export interface Answering {
  readonly dice: Dice;
  readonly held: HeldTokens;
  readonly signal: AbortSignal;
  readonly onPiece: (choice: number, piece: Piece) => void;
}

function outputBound(
  ask: Ask,
  prompt: { readonly field: string },
  used: number,
  all: number,
): number {
  const left = all - used;
  if (left < 1)
    throw new Fault("model.context_exceeded", {
      message: `${prompt.field}: ${used} tokens leave no room for an answer: ${ask.model} holds ${all}`,
      field: prompt.field,
    });
  const wanted = ask.outputTokensMax ?? Math.min(left, OUTPUT_TOKENS_DEFAULT);
  if (wanted <= left) return wanted;
  throw new Fault("model.context_exceeded", {
    message: `${ask.outputField}: ${wanted} after a prompt of ${used} tokens is more than ${ask.model} holds (${all})`,
    field: ask.outputField,
    hint: `ask for at most ${left}`,
  });
}

export function planAnswer(model: Model, ask: Ask): Plan {
  const plans = ask.prompts.map((prompt): Planned => {
    const tokens = model.tokenize(prompt);
    const bound = outputBound(ask, prompt, tokens.length, model.contextTokens);
    return { tokens, outputTokensMax: bound };
  });
  return {
    promptTokens: plans.reduce((sum, plan) => sum + plan.tokens.length, 0),
    choices: plans.flatMap((plan) => Array.from({ length: ask.n }, () => plan)),
  };
}

export function demandRoom({ slots }: Borrowed, choices: number): void {
  if (slots.hasRoomFor(choices)) return;
  throw new Fault("engine.busy", {
    message: `${slots.running} requests run and ${slots.waiting} wait; there is no room for ${choices} more`,
    retryAfterSeconds: 1,
  });
}

async function runChoice(
  deps: Answering,
  { model, name, slots }: Borrowed,
  ask: Ask,
  plan: Planned,
  at: { readonly choice: number; readonly seed: number },
): Promise<number> {
  const release = await slots.take(deps.signal);
  let tokens = 0;
  let heldTokens = 0;
  try {
    const pieces = model.generate({
      ...plan,
      stops: ask.stops,
      sampling: ask.sampling,
      seed: (at.seed + at.choice) % 2 ** 32,
      signal: deps.signal,
      onTokens: (held) => {
        deps.held.change(name, held - heldTokens);
        heldTokens = held;
      },
    });
    for await (const piece of pieces) {
      tokens = piece.tokens;
      deps.onPiece(at.choice, piece);
    }
    return tokens;
  } finally {
    release();
  }
}

/** Rejects with the signal's reason when the caller leaves, or with the first choice that fails; no choice outlives it. */
export async function runAnswer(
  deps: Answering,
  borrowed: Borrowed,
  ask: Ask,
  plan: Plan,
): Promise<Usage> {
  // Without a seed of the caller's every request throws its own dice: the library's default is the second of the day.
  const seed = ask.sampling.seed ?? Math.floor(deps.dice.next() * 2 ** 32);
  const failure = new AbortController();
  const together = { ...deps, signal: AbortSignal.any([deps.signal, failure.signal]) };
  const runs = plan.choices.map(async (each, choice) => {
    try {
      return await runChoice(together, borrowed, ask, each, { choice, seed });
    } catch (error) {
      failure.abort(error);
      return 0;
    }
  });
  const outputTokens = (await Promise.all(runs)).reduce((sum, tokens) => sum + tokens, 0);
  together.signal.throwIfAborted();
  return { promptTokens: plan.promptTokens, outputTokens };
}

export interface Embedded {
  readonly vectors: readonly (readonly number[])[];
  readonly promptTokens: number;
}

function tokenizeInput(model: Model, ask: EmbedAsk, at: number): Tokens {
  const field = ask.inputs.length === 1 ? "input" : `input[${at}]`;
  const tokens = model.tokenize({ kind: "text", text: ask.inputs[at] ?? "", field });
  if (tokens.length <= model.contextTokens) return tokens;
  throw new Fault("model.context_exceeded", {
    message: `${field}: ${tokens.length} tokens are more than ${ask.model} holds (${model.contextTokens})`,
    field,
  });
}

export async function runEmbedding(
  borrowed: Borrowed,
  ask: EmbedAsk,
  signal: AbortSignal,
): Promise<Embedded> {
  const { model, slots } = borrowed;
  const inputs = ask.inputs.map((_, at) => tokenizeInput(model, ask, at));
  const release = await slots.take(signal);
  try {
    const vectors: (readonly number[])[] = [];
    for (const tokens of inputs) {
      signal.throwIfAborted();
      vectors.push(await model.embed(tokens));
    }
    return { vectors, promptTokens: inputs.reduce((sum, tokens) => sum + tokens.length, 0) };
  } finally {
    release();
  }
}
