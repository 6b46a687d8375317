// Ranking: which engines to try for a request, best first. Pure; the dice only break ties.

import type { EngineId } from "../../kit/id.ts";
import type { Candidate } from "./types.ts";

/** Least in flight first, engines that failed a moment ago last; equals in random order so that gateways do not herd. */
export function rankEngines(
  candidates: readonly Candidate[],
  dice: () => number,
): readonly EngineId[] {
  if (candidates.length === 1) return candidates.map((candidate) => candidate.engineId);
  return candidates
    .map((candidate) => ({ candidate, tie: dice() }))
    .sort(
      (left, right) =>
        Number(left.candidate.coolingDown) - Number(right.candidate.coolingDown) ||
        left.candidate.inFlight - right.candidate.inFlight ||
        left.tie - right.tie,
    )
    .map((entry) => entry.candidate.engineId);
}
