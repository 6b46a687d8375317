// What an engine's answer to GET /models says, what state a probe leaves it in, and when the next round begins. Pure.
// Invariant: an engine is up or down only by a probe that is still fresh; anything else is unknown.

import { z } from "zod";
import { refuse, type Refusal } from "../../kit/fault.ts";
import type { Answers, EngineState, ListedModel, Probe, ProbeView } from "./types.ts";

/** From the start of one round of probes to the start of the next. */
export const ROUND_MS = 10_000;
/** Rounds of several workers, or of several installations, drift apart. */
const JITTER = 0.1;
const PAUSE_MIN_MS = 1_000;
/** Six rounds missed: nobody is probing. */
export const FRESH_MS = 60_000;

export function engineState(probe: Probe | undefined, nowMs: number): EngineState {
  if (!probe || nowMs - probe.at.getTime() > FRESH_MS) return "unknown";
  return probe.ok ? "up" : "down";
}

export function toProbeView(probe: Probe | undefined): ProbeView | null {
  if (!probe) return null;
  const { at, latencyMs, detail } = probe;
  return { at: at.toISOString(), latencyMs, detail };
}

/** `dice` in [0, 1). */
export function pauseMs(roundTookMs: number, dice: number): number {
  const wish = ROUND_MS * (1 - JITTER + 2 * JITTER * dice);
  return Math.max(PAUSE_MIN_MS, wish - roundTookMs);
}

const Tokens = z.int().positive().nullish().catch(null);
/** The list of OpenAI, and where vLLM, OpenRouter and Groq tell the context's length. */
const Entry = z.object({
  id: z.string(),
  owned_by: z.string().max(200).nullish().catch(null),
  max_model_len: Tokens,
  context_length: Tokens,
  context_window: Tokens,
});
const Entries = z.array(Entry);
/** Together answers the bare list. */
const List = z.union([Entries, z.object({ data: Entries }).transform(({ data }) => data)]);

function parseList(text: string): ListedModel[] | undefined {
  try {
    return List.safeParse(JSON.parse(text)).data?.map((entry) => ({
      id: entry.id,
      ownedBy: entry.owned_by || null,
      contextTokens: entry.max_model_len ?? entry.context_length ?? entry.context_window ?? null,
    }));
  } catch {
    return undefined;
  }
}

const count = (models: readonly ListedModel[]) =>
  models.length === 1 ? "answers, 1 model" : `answers, ${models.length} models`;

/** Any status that came back, with the text of its body. */
export function judgeAnswer(status: number, text: string): Answers | Refusal {
  if (status === 401 || status === 403)
    return refuse("upstream.credential", "the credential is refused");
  if (status === 404 || status === 405)
    return { ok: true, detail: "answers, without a model list", models: null };
  if (status === 429)
    return { ok: true, detail: "answers, but asks for fewer requests (429)", models: null };
  if (status >= 300 && status < 400)
    return refuse("upstream.invalid", `answers with a redirect (${status})`, {
      hint: "use the address that it redirects to",
    });
  if (status !== 200) return refuse("upstream.refused", `answers ${status}`);
  const models = parseList(text);
  if (!models) return refuse("upstream.invalid", "answers 200, but not with a model list");
  return { ok: true, detail: count(models), models };
}
