// One question to one engine: GET {baseUrl}/models, through the guarded egress.
// Invariant: always an answer, never a throw for what the other side did; nothing of the body but the list is kept.

import { callPinned } from "../../kit/egress.ts";
import type { Clock } from "../../kit/clock.ts";
import { isFault, refuse, type Refusal } from "../../kit/fault.ts";
import { judgeAnswer } from "./rules.ts";
import type { AskTarget, EngineAnswer } from "./types.ts";

export const PROBE_WITHIN_MS = 5_000;

function toRefusal(error: unknown): Refusal {
  if (!isFault(error)) throw error;
  const { code, message, hint } = error;
  return refuse(code, message, hint === undefined ? {} : { hint });
}

export async function askEngine(
  clock: Pick<Clock, "monotonicMs">,
  target: AskTarget,
  withinMs = PROBE_WITHIN_MS,
): Promise<EngineAnswer> {
  const { baseUrl, allowPrivateAddress, bearer } = target;
  const startedMs = clock.monotonicMs();
  const call = { url: `${baseUrl}/models`, allowPrivateAddress, bearer, withinMs };
  const judged = await callPinned(call).then(
    ({ status, text }) => judgeAnswer(status, text),
    toRefusal,
  );
  return { judged, latencyMs: Math.round(clock.monotonicMs() - startedMs) };
}
