// Callers that never tire: each asks, and remembers what it was properly given to the end. That is "acknowledged".
// Invariant: an answer counts as acknowledged only when its last byte arrived in order; anything less may or may not be billed.

import type { Dice } from "../../src/kit/clock.ts";
import { wishText, type Wish } from "./upstream.ts";

export interface Callers {
  /** Request id → what must stand in the ledger, exactly once. */
  readonly acknowledged: ReadonlyMap<string, Wish>;
  readonly asked: () => number;
  /** Resolves when the last open question is answered or given up. */
  stop(): Promise<void>;
}

export interface CallersOptions {
  readonly apiUrl: string;
  readonly key: string;
  readonly model: string;
  readonly count: number;
  readonly dice: Dice;
}

const ANSWER_MAX_MS = 20_000;
/** After a refused connection: the gateway is just being started again. */
const BREATH_MS = 20;

/** The id of a properly ended answer; undefined for everything else. */
async function ask(options: CallersOptions, wish: Wish): Promise<string | undefined> {
  const response = await fetch(`${options.apiUrl}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${options.key}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: options.model,
      stream: wish.streamed,
      messages: [{ role: "user", content: wishText(wish) }],
    }),
    signal: AbortSignal.timeout(ANSWER_MAX_MS),
  });
  const text = await response.text();
  if (response.status !== 200) return undefined;
  const whole = wish.streamed ? text.endsWith("data: [DONE]\n\n") : text.endsWith("}");
  return whole ? (response.headers.get("x-request-id") ?? undefined) : undefined;
}

export function openCallers(options: CallersOptions): Callers {
  const acknowledged = new Map<string, Wish>();
  let asked = 0;
  const stopping = new AbortController();
  const { next } = options.dice;
  const call = async () => {
    while (!stopping.signal.aborted) {
      const wish: Wish = {
        input: 1 + Math.floor(next() * 900),
        output: 1 + Math.floor(next() * 20),
        streamed: next() < 0.5,
      };
      asked += 1;
      const id = await ask(options, wish).catch(() => undefined);
      if (id === undefined) await Bun.sleep(BREATH_MS);
      else acknowledged.set(id, wish);
    }
  };
  const calls = Array.from({ length: options.count }, call);
  return {
    acknowledged,
    asked: () => asked,
    stop: async () => {
      stopping.abort();
      await Promise.all(calls);
    },
  };
}
