// llama.cpp behind one small face: open it, load a model, turn prompts into tokens, generate, embed.
// Invariant: only a template's own text becomes control tokens; what a caller wrote is tokenized as plain text.

import { cpus } from "node:os";
import {
  getLlama,
  JinjaTemplateChatWrapper,
  LlamaLogLevel,
  type ChatHistoryItem,
  type Llama,
  type LlamaContext,
  type LlamaContextSequence,
  type LlamaEmbeddingContext,
  type LlamaModel,
  type Token,
} from "node-llama-cpp";
import { Fault } from "../kit/fault.ts";
import { errorText, type Log } from "../kit/log.ts";
import { watchStops } from "./text.state.ts";
import type { Piece, Prompt, Sampling, Turn } from "./types.ts";

/** A prompt is read in parts of this many tokens, so that a caller who leaves is noticed in between. */
const PROMPT_PART_TOKENS = 128;
/** No character of UTF-8 takes more tokens than it has bytes. */
const CHARACTER_TOKENS_MAX = 4;

export interface Job {
  readonly tokens: readonly Token[];
  readonly outputTokensMax: number;
  readonly stops: readonly string[];
  readonly sampling: Sampling;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** How many tokens the model's memory holds for this job, as it grows. */
  readonly onTokens: (held: number) => void;
}

export interface Model {
  readonly contextTokens: number;
  /** Throws a fault when the model knows no chat template. */
  tokenize(prompt: Prompt): readonly Token[];
  /** At most `slots` at a time; ends early, without a last piece, when the signal aborts. */
  generate(job: Job): AsyncGenerator<Piece & { readonly tokens: number }>;
  /** A vector of length 1: the model's last hidden state at the end of the text. */
  embed(tokens: readonly Token[]): Promise<readonly number[]>;
  close(): Promise<void>;
}

export interface ModelFile {
  readonly path: string;
  readonly contextTokens: number;
  readonly slots: number;
  readonly threads: number;
}

/** Its worker threads spin while they wait for each other, so on few cores one thread is the fastest. */
export function threadsFor(cores: number): number {
  return cores <= 4 ? 1 : Math.min(8, cores >> 1);
}

export function openLlama(log: Log, threads: number | undefined): Promise<Llama> {
  return getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    progressLogs: false,
    maxThreads: threads ?? threadsFor(cpus().length),
    logLevel: LlamaLogLevel.error,
    logger: (_, message) => log.warn("engine.llama", { message: message.trim().slice(0, 500) }),
  });
}

const toItem = (turn: Turn): ChatHistoryItem => {
  if (turn.role === "assistant") return { type: "model", response: [turn.text] };
  return { type: turn.role, text: turn.text };
};

function chatOf(model: LlamaModel): (turns: readonly Turn[]) => Token[] {
  const template = model.fileInfo.metadata.tokenizer?.chat_template;
  if (template === undefined)
    return () => {
      throw new Fault("request.unsupported", {
        message: "this model has no chat template",
        field: "messages",
        hint: "ask it with /v1/completions",
      });
    };
  const wrapper = new JinjaTemplateChatWrapper({
    template,
    joinAdjacentMessagesOfTheSameType: false,
    trimLeadingWhitespaceInResponses: false,
  });
  return (turns) => {
    const chatHistory = [...turns.map(toItem), toItem({ role: "assistant", text: "" })];
    return wrapper.generateContextState({ chatHistory }).contextText.tokenize(model.tokenizer);
  };
}

function tokenizePlain(model: LlamaModel, text: string): Token[] {
  const tokens = model.tokenize(text, false);
  const { bos, eos, shouldPrependBosToken } = model.tokens;
  const start = bos ?? eos;
  // An empty prompt still has to ask for something: the beginning of a text.
  if (start !== null && (shouldPrependBosToken || tokens.length === 0)) return [start, ...tokens];
  return tokens;
}

/** Whole characters out of tokens that may end within one. */
function openDetokenizer(model: LlamaModel, prompt: readonly Token[]) {
  let last = prompt.slice(-CHARACTER_TOKENS_MAX);
  let pending: Token[] = [];
  const take = (): string => {
    const text = model.detokenize(pending, false, last);
    last = [...last, ...pending].slice(-CHARACTER_TOKENS_MAX);
    pending = [];
    return text;
  };
  return {
    push: (token: Token): string => {
      pending.push(token);
      const whole =
        pending.length >= CHARACTER_TOKENS_MAX ||
        !model.detokenize(pending, false, last).endsWith("\uFFFD");
      return whole ? take() : "";
    },
    rest: take,
  };
}

async function readPrompt(sequence: LlamaContextSequence, job: Job): Promise<readonly Token[]> {
  let at = 0;
  while (job.tokens.length - at > PROMPT_PART_TOKENS && !job.signal.aborted) {
    const part = job.tokens.slice(at, at + PROMPT_PART_TOKENS);
    await sequence.evaluateWithoutGeneratingNewTokens(part);
    at += part.length;
    job.onTokens(at);
  }
  return job.tokens.slice(at);
}

function samplingOf(job: Job, written: readonly Token[]) {
  const { temperature, topP, topK, minP, presencePenalty, frequencyPenalty } = job.sampling;
  const base = { temperature, topP, topK, minP, seed: job.seed, yieldEogToken: true };
  if (presencePenalty === 0 && frequencyPenalty === 0) return base;
  const punishTokens = () => [...written];
  const maxPunishTokens = job.outputTokensMax;
  // 1: no multiplicative penalty, which the dialect does not have.
  const repeatPenalty = {
    punishTokens,
    maxPunishTokens,
    penalty: 1,
    presencePenalty,
    frequencyPenalty,
  };
  return { ...base, repeatPenalty };
}

async function* write(
  model: LlamaModel,
  sequence: LlamaContextSequence,
  job: Job,
): ReturnType<Model["generate"]> {
  const rest = await readPrompt(sequence, job);
  if (job.signal.aborted) return;
  const stops = watchStops(job.stops);
  const characters = openDetokenizer(model, job.tokens);
  const written: Token[] = [];
  for await (const token of sequence.evaluate([...rest], samplingOf(job, written))) {
    if (job.signal.aborted) return;
    written.push(token);
    const tokens = written.length;
    job.onTokens(job.tokens.length + tokens);
    const ended = model.isEogToken(token);
    const full = tokens >= job.outputTokensMax;
    let text = stops.push(ended ? characters.rest() : characters.push(token));
    if (!stops.stopped && (ended || full)) text += stops.push(characters.rest());
    if (stops.stopped || ended) return yield { text: text + stops.rest(), finish: "stop", tokens };
    if (full) return yield { text: text + stops.rest(), finish: "length", tokens };
    if (text !== "") yield { text, finish: null, tokens };
  }
}

async function* generate(
  model: LlamaModel,
  context: LlamaContext,
  job: Job,
): ReturnType<Model["generate"]> {
  const sequence = context.getSequence();
  try {
    yield* write(model, sequence, job);
  } finally {
    job.onTokens(0);
    await sequence.dispose();
  }
}

function unit(vector: readonly number[]): readonly number[] {
  const length = Math.hypot(...vector);
  return length === 0 ? vector : vector.map((value) => value / length);
}

async function openContext(model: LlamaModel, file: ModelFile) {
  const contextTokens = Math.min(file.contextTokens, model.trainContextSize);
  const context = await model.createContext({
    sequences: file.slots,
    contextSize: contextTokens,
    batchSize: Math.min(512, contextTokens),
    threads: file.threads,
    failedCreationRemedy: false,
  });
  return { context, contextTokens };
}

/** Throws a fault when the file is missing or no model. */
export async function loadModel(llama: Llama, file: ModelFile): Promise<Model> {
  try {
    const model = await llama.loadModel({ modelPath: file.path, gpuLayers: 0 });
    const { context, contextTokens } = await openContext(model, file);
    const chat = chatOf(model);
    let embedding: Promise<LlamaEmbeddingContext> | undefined;
    return {
      contextTokens,
      tokenize: (prompt) =>
        prompt.kind === "chat" ? chat(prompt.turns) : tokenizePlain(model, prompt.text),
      generate: (job) => generate(model, context, job),
      embed: async (tokens) => {
        embedding ??= model.createEmbeddingContext({
          // llama.cpp wants one free cell beyond the text.
          contextSize: contextTokens + 1,
          batchSize: contextTokens + 1,
          threads: file.threads,
        });
        const { vector } = await (await embedding).getEmbeddingFor([...tokens]);
        return unit(vector);
      },
      close: () => model.dispose(),
    };
  } catch (cause) {
    throw new Fault("artifact.unavailable", {
      message: `the model's file cannot be loaded: ${errorText(cause).slice(0, 300)}`,
      cause,
    });
  }
}
