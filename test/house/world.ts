// A stack, a scripted upstream behind it, and callers in front: what every house walk begins with.
// Invariant: an answer counts as acknowledged only when its last byte arrived; then the ledger must have it.

import { eventually, openStack, type Stack, type StackOptions } from "../stack.ts";
import type { Wish } from "../torture/upstream.ts";
import { openHouseUpstream, type HouseUpstream, type Question } from "./upstream.ts";

export const MODEL = "scripted";

export interface Outcome {
  readonly status: number;
  /** Our own code of a refusal. */
  readonly fault: string | null;
  readonly retryAfterS: number | null;
  readonly id: string;
  readonly text: string;
}

export interface KeyWish {
  readonly name: string;
  readonly projectId?: string;
  readonly limits?: Readonly<Record<string, number>>;
}

export interface World {
  readonly stack: Stack;
  readonly upstream: HouseUpstream;
  /** Request id → what must stand in the ledger, exactly once. */
  readonly acknowledged: Map<string, Wish>;
  /** A key that every gateway knows. */
  key(wish: KeyWish): Promise<{ readonly token: string; readonly id: string }>;
  ask(token: string, question: Question, apiUrl?: string): Promise<Outcome>;
  close(): Promise<void>;
}

const ANSWER_MAX_MS = 30_000;

/** Calls control and takes the answer as what the caller knows it to be. */
export async function must<T>(
  stack: Stack,
  method: string,
  path: string,
  body?: unknown,
): Promise<T> {
  const answer = await stack.control(method, path, body);
  if (answer.status >= 300)
    throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body as T;
}

export async function askAt(
  apiUrl: string,
  token: string,
  question: Question,
  model = MODEL,
): Promise<Outcome> {
  const response = await fetch(`${apiUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({
      model,
      stream: question.stream ?? false,
      max_tokens: question.output,
      messages: [{ role: "user", content: JSON.stringify(question) }],
    }),
    signal: AbortSignal.timeout(ANSWER_MAX_MS),
  });
  const retryAfter = response.headers.get("retry-after");
  return {
    status: response.status,
    fault: response.headers.get("x-intertie-fault"),
    retryAfterS: retryAfter === null ? null : Number(retryAfter),
    id: response.headers.get("x-request-id") ?? "",
    text: await response.text(),
  };
}

/** By new connections, so that every gateway of the port is met sooner or later. */
export async function knownEverywhere(
  stack: Stack,
  token: string,
  path = "/models",
): Promise<void> {
  await eventually(`every gateway to answer ${path}`, async () => {
    const ask = () =>
      fetch(`${stack.apiUrl}${path}`, {
        headers: { authorization: `Bearer ${token}`, connection: "close" },
      }).then(
        ({ status }) => status,
        () => 0,
      );
    const answers = await Promise.all(Array.from({ length: 8 }, ask));
    return answers.every((status) => status === 200) ? true : undefined;
  });
}

async function addUpstream(stack: Stack, upstream: HouseUpstream): Promise<void> {
  await must(stack, "POST", "/upstreams", {
    name: "scripted",
    baseUrl: upstream.url,
    models: { [MODEL]: MODEL },
    allowPrivateAddress: true,
  });
  // A million output tokens for a thousand dollars: one token is a tenth of a cent.
  await must(stack, "POST", "/prices", {
    model: MODEL,
    effectiveFrom: new Date(0).toISOString(),
    perMillion: { input_tokens: "0", output_tokens: "1000" },
  });
}

export async function openWorld(options: StackOptions = {}): Promise<World> {
  const [stack, upstream] = await Promise.all([openStack(options), openHouseUpstream()]);
  const acknowledged = new Map<string, Wish>();
  await addUpstream(stack, upstream);
  await knownEverywhere(stack, stack.firstKey ?? "", `/models/${MODEL}`);
  return {
    stack,
    upstream,
    acknowledged,
    key: async (wish) => {
      const made = await must<{ token: string; key: { id: string } }>(stack, "POST", "/keys", {
        kind: "live",
        ...wish,
      });
      await knownEverywhere(stack, made.token);
      return { token: made.token, id: made.key.id };
    },
    ask: async (token, question, apiUrl = stack.apiUrl) => {
      const outcome = await askAt(apiUrl, token, question);
      if (outcome.status === 200) acknowledged.set(outcome.id, { streamed: false, ...question });
      return outcome;
    },
    close: async () => {
      await stack.stop();
      upstream.close();
    },
  };
}
