// Step 5, reserve: limits and money, at the most that this request can use, before anything is dispatched.
// Invariant: a request that could exceed a limit or budget is refused; what it did not use is given back at settlement.

import { ceilingPico } from "../billing/prices/rules.ts";
import type { KeyLimits } from "../identity/keys/types.ts";
import { refuse, type FaultCode, type Refusal } from "../kit/fault.ts";
import type { LeaseHolder, LeaseRefusal, Need } from "./leases/types.ts";
import type { Caller, Dispatch, Plan, Reading } from "./types.ts";

/** For a model whose output bound nobody knows and a caller who named none. */
const OUTPUT_TOKENS_DEFAULT = 16_384;

/** For a picture, a sound or a file where the context is unknown: their bytes are elsewhere or say little. */
const MEDIA_PART_TOKENS = 4_096;

/** No tokenizer makes more tokens than bytes of text; what is no text may fill the context. */
function inputTokensMax(plan: Plan, { bytes, mediaParts }: Reading): bigint {
  const most = bytes.length + mediaParts * MEDIA_PART_TOKENS;
  const context = plan.model.contextTokens;
  if (context === null) return BigInt(most);
  return BigInt(mediaParts > 0 ? context : Math.min(most, context));
}

function outputTokensMax(plan: Plan, reading: Reading): bigint {
  const { outputTokensMax: modelMax, contextTokens } = plan.model;
  const each = reading.outputCap?.tokens ?? modelMax ?? contextTokens ?? OUTPUT_TOKENS_DEFAULT;
  return BigInt(each) * BigInt(reading.choices);
}

/** Where a limit counts tokens or money and nobody bounds the answer, the upstream is told the bound that was reserved. */
export function capToSet({ plan, reading, needs }: Dispatch): number | undefined {
  const { outputTokensMax: modelMax, contextTokens } = plan.model;
  if (reading.outputCap !== undefined || modelMax !== null || contextTokens !== null)
    return undefined;
  const counts = needs.some(({ resource }) => /^(tokens|spend):/.test(resource));
  return counts && reading.choices > 0 ? OUTPUT_TOKENS_DEFAULT : undefined;
}

/** A cap beyond what the model can write is an error of the caller's, told before anything is reserved. */
export function judgeCap(plan: Plan, reading: Reading): Refusal | undefined {
  const { outputTokensMax: modelMax, contextTokens, name } = plan.model;
  const bound = modelMax ?? contextTokens;
  const cap = reading.outputCap;
  if (cap === undefined || bound === null || cap.tokens <= bound) return undefined;
  return refuse(
    "request.invalid",
    `${cap.field} is too large: ${cap.tokens}. The model \`${name}\` writes at most ${bound} tokens.`,
    { field: cap.field },
  );
}

let month = { fromMs: 0, untilMs: 0, text: "" };

/** `2026-11`, in UTC. */
export function monthOf(nowMs: number): string {
  if (nowMs < month.fromMs || nowMs >= month.untilMs) {
    const date = new Date(nowMs);
    const at = (months: number) => Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months);
    month = { fromMs: at(0), untilMs: at(1), text: date.toISOString().slice(0, 7) };
  }
  return month.text;
}

/** What a key or project needs alike for each request, and the limit of what differs. */
interface Standing {
  readonly fixed: readonly Need[];
  readonly tokens: Omit<Need, "amount"> | undefined;
}

/** By the snapshot's own objects, so that names are put together once a snapshot, not at each request. */
const standings = new WeakMap<object, Standing>();

function standingOf(owner: `key:${string}` | `project:${string}`, limits: KeyLimits): Standing {
  const { requestsPerMinute: requests, concurrentStreams: streams, tokensPerMinute } = limits;
  const fixed: Need[] = [];
  if (requests !== null)
    fixed.push({ resource: `requests:${owner}`, limit: BigInt(requests), amount: 1n });
  if (streams !== null)
    fixed.push({ resource: `streams:${owner}`, limit: BigInt(streams), amount: 1n });
  const tokens =
    tokensPerMinute === null
      ? undefined
      : { resource: `tokens:${owner}` as const, limit: BigInt(tokensPerMinute) };
  return { fixed, tokens };
}

function standingsOf({ key, tenant }: Caller): readonly [Standing, Standing] {
  let ofKey = standings.get(key);
  if (ofKey === undefined) {
    ofKey = standingOf(`key:${key.id}`, key.limits);
    standings.set(key, ofKey);
  }
  let ofProject = standings.get(tenant);
  if (ofProject === undefined) {
    ofProject = standingOf(`project:${tenant.projectId}`, tenant.limits);
    standings.set(tenant, ofProject);
  }
  return [ofKey, ofProject];
}

/** What this request needs of each limit that its key and project have; empty when they have none. */
export function needsOf(caller: Caller, plan: Plan, reading: Reading, nowMs: number): Need[] {
  const { tenant } = caller;
  const [ofKey, ofProject] = standingsOf(caller);
  const needs = [...ofKey.fixed, ...ofProject.fixed];
  const spend = tenant.monthlySpendLimitPico;
  if (ofKey.tokens === undefined && ofProject.tokens === undefined && spend === null) return needs;
  const input = inputTokensMax(plan, reading);
  const output = outputTokensMax(plan, reading);
  const amount = input + output;
  if (ofKey.tokens) needs.push({ ...ofKey.tokens, amount });
  if (ofProject.tokens) needs.push({ ...ofProject.tokens, amount });
  if (spend !== null) {
    needs.push({
      resource: `spend:project:${tenant.projectId}:${monthOf(nowMs)}`,
      limit: spend,
      amount: ceilingPico(plan.price, input, output),
    });
  }
  return needs;
}

/** The need of this kind with the least left; a key and its project may both have one. */
function tightest(
  leases: Pick<LeaseHolder, "remaining">,
  needs: readonly Need[],
  kind: "requests:" | "tokens:",
): { readonly limit: bigint; readonly remaining: bigint } | undefined {
  let found: { readonly limit: bigint; readonly remaining: bigint } | undefined;
  for (const { resource, limit } of needs) {
    if (!resource.startsWith(kind)) continue;
    const remaining = leases.remaining(resource) ?? limit;
    if (found === undefined || remaining < found.remaining) found = { limit, remaining };
  }
  return found;
}

/** OpenAI's headers for what is limited a minute. */
export function limitHeaders(
  leases: Pick<LeaseHolder, "remaining">,
  needs: readonly Need[],
): Record<string, string> {
  const headers: Record<string, string> = {};
  const requests = tightest(leases, needs, "requests:");
  if (requests) {
    headers["x-ratelimit-limit-requests"] = requests.limit.toString();
    headers["x-ratelimit-remaining-requests"] = requests.remaining.toString();
  }
  const tokens = tightest(leases, needs, "tokens:");
  if (tokens) {
    headers["x-ratelimit-limit-tokens"] = tokens.limit.toString();
    headers["x-ratelimit-remaining-tokens"] = tokens.remaining.toString();
  }
  return headers;
}

const CODES: Readonly<Record<string, FaultCode>> = {
  requests: "limit.requests",
  tokens: "limit.tokens",
  streams: "limit.streams",
  spend: "budget.exhausted",
};

const WORDS: Readonly<Record<string, string>> = {
  requests: "requests a minute",
  tokens: "tokens a minute",
  streams: "requests at a time",
  spend: "dollars this month",
};

/** A refusal that says which limit, how much it is and when to come back. */
export function toLimitRefusal(refused: LeaseRefusal, needs: readonly Need[]): Refusal {
  const [kind = "", owner = ""] = refused.resource.split(":");
  if (refused.unreachable) {
    return refuse("lease.unavailable", "Limits cannot be checked at the moment.", {
      retryAfterSeconds: 2,
    });
  }
  const limit = needs.find((need) => need.resource === refused.resource)?.limit ?? 0n;
  const shown =
    kind === "spend" ? (Number(limit / 10_000_000_000n) / 100).toFixed(2) : limit.toString();
  const message = `The ${owner}'s limit of ${shown} ${WORDS[kind] ?? kind} is reached.`;
  const code = CODES[kind] ?? "limit.requests";
  if (kind === "spend")
    return refuse(code, message, {
      hint: "Ask the project's owner to raise it, or wait for the next month.",
    });
  return refuse(code, message, {
    retryAfterSeconds: Math.max(1, Math.ceil(refused.retryAfterMs / 1000)),
  });
}
