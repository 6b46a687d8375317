// Step 6, forward: intent to the journal, then ranked targets until one answers. Nothing was relayed yet, so a retry is safe.
// Invariant: every attempt has an intent on disk before its dispatch, and every intent gets exactly one settlement.

import { refuse, type Refusal } from "../kit/fault.ts";
import { estimateQuantities } from "./dialects/openai/usage.rules.ts";
import { capToSet } from "./reserve.ts";
import { factOf, NOT_ANSWERED, settleAttempt, settleNeeds } from "./settle.ts";
import type { Attempt, Dispatch, GatewayDeps, Outcome, Target, UpstreamFailure } from "./types.ts";
import type { UpstreamAnswer } from "./upstreams/openai/client.ts";

const PATHS = {
  chat: "/chat/completions",
  completions: "/completions",
  embeddings: "/embeddings",
} as const;

export interface Answered {
  readonly ok: true;
  readonly attempt: Attempt;
  readonly answer: UpstreamAnswer;
  readonly abort: AbortController;
}

/** Counted as in flight before the disk is waited for: requests that come together must see each other when they are routed. */
async function writeIntent(deps: GatewayDeps, dispatch: Dispatch, attempt: Attempt): Promise<void> {
  const { id } = attempt.target.engine;
  const fact = factOf(dispatch, attempt, NOT_ANSWERED, deps.clock.monotonicMs());
  deps.load.begin(id);
  try {
    await deps.journal.append({ type: "intent", fact });
  } catch (error) {
    deps.load.end(id);
    throw error;
  }
}

async function tryTarget(
  deps: GatewayDeps,
  dispatch: Dispatch,
  attempt: Attempt,
): Promise<Answered | UpstreamFailure> {
  const { engine, upstreamModel } = attempt.target;
  await writeIntent(deps, dispatch, attempt);
  const { signal } = dispatch.request;
  if (signal.aborted) return leftBefore(attempt);
  const abort = new AbortController();
  const leaving = watchLeaving(deps, dispatch, abort);
  const answer = await deps.upstream.call({
    engine,
    path: PATHS[dispatch.endpoint],
    body: dispatch.reading.bodyFor(upstreamModel, capToSet(dispatch)),
    streamed: dispatch.reading.streamed,
    requestId: dispatch.id,
    abort,
  });
  const gaveUp = leaving.stop();
  if (answer.ok) return { ok: true, attempt, answer, abort };
  return gaveUp && answer.code === "upstream.unreachable" ? { ...answer, givenUp: true } : answer;
}

/**
 * Gives the call up when the caller leaves before the upstream's head: a stream at once, since it tells its usage at its end
 * only; a whole answer after `drainMs`, since it may be near and tells what it cost. `stop` answers whether that was done.
 */
function watchLeaving(deps: GatewayDeps, { request, reading }: Dispatch, abort: AbortController) {
  let gaveUp = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const giveUp = () => {
    gaveUp = true;
    abort.abort();
  };
  const leave = () => {
    if (reading.streamed) giveUp();
    else timer = setTimeout(giveUp, deps.limits.drainMs);
  };
  request.signal.addEventListener("abort", leave, { once: true });
  return {
    stop: () => {
      clearTimeout(timer);
      request.signal.removeEventListener("abort", leave);
      return gaveUp;
    },
  };
}

/** The caller was gone before the upstream was asked. */
function leftBefore(attempt: Attempt): UpstreamFailure {
  const { id } = attempt.target.engine;
  const why = refuse("internal", "The caller left.");
  return { ...why, engineId: id, retryable: false };
}

function toRefusal(failure: UpstreamFailure): Refusal {
  const { code, message, retryAfterSeconds } = failure;
  return refuse(code, message, retryAfterSeconds === undefined ? {} : { retryAfterSeconds });
}

function tellFailed(
  deps: GatewayDeps,
  dispatch: Dispatch,
  { engine }: Target,
  { code, detail }: UpstreamFailure,
): void {
  deps.load.failed(engine.id, deps.clock.monotonicMs());
  deps.log.warn("upstream.failed", { requestId: dispatch.id, engine: engine.name, code, detail });
}

/** A call that was given up has had the upstream read the question: that costs, whoever waits for the answer. */
function outcomeOf(dispatch: Dispatch, failure: UpstreamFailure): Outcome {
  if (!dispatch.request.signal.aborted) return { ...NOT_ANSWERED, status: "refused_upstream" };
  const quantities =
    failure.givenUp === true ? estimateQuantities(dispatch.reading.bytes.length, 0) : [];
  return { ...NOT_ANSWERED, status: "caller_left", quantities };
}

/** The attempt that answered, or the refusal of the last one that did not; all failed ones are settled. */
export async function forward(deps: GatewayDeps, dispatch: Dispatch): Promise<Answered | Refusal> {
  const targets = dispatch.plan.targets.slice(0, deps.limits.attemptsMax);
  let last: Refusal = refuse("model.no_deployment", "No upstream serves this model.");
  for (const [index, target] of targets.entries()) {
    const attempt: Attempt = {
      number: index + 1,
      kind: index === 0 ? "first" : "fallback",
      target,
    };
    const result = await tryTarget(deps, dispatch, attempt);
    if (result.ok) {
      deps.load.succeeded(target.engine.id);
      return result;
    }
    const left = dispatch.request.signal.aborted;
    deps.load.end(target.engine.id);
    if (!left) tellFailed(deps, dispatch, target, result);
    last = toRefusal(result);
    const outcome = outcomeOf(dispatch, result);
    settleAttempt(deps, dispatch, attempt, outcome);
    if (left || !result.retryable) {
      settleNeeds(deps, dispatch, outcome.quantities);
      return last;
    }
  }
  settleNeeds(deps, dispatch, []);
  return last;
}
