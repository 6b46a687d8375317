// Step 5, reserve: limits and money, at the most that this request can use, before anything is dispatched.
// Invariant: a request that could exceed a limit or budget is refused; what it did not use is given back at settlement.

import type { LeaseResource } from "../billing/budgets/types.ts";
import { ceilingPico } from "../billing/prices/rules.ts";
import { refuse, type FaultCode, type Refusal } from "../kit/fault.ts";
import type { LeaseHolder, LeaseRefusal, Need } from "./leases/types.ts";
import type { Caller, Plan, Reading } from "./types.ts";

/** For a model whose output bound nobody knows and a caller who named none. */
const OUTPUT_TOKENS_DEFAULT = 16_384;

/** No tokenizer makes more tokens than bytes; the context bounds it where it is known. */
function inputTokensMax(plan: Plan, reading: Reading): bigint {
  const bytes = BigInt(reading.bytes.length);
  const context = plan.model.contextTokens;
  return context !== null && BigInt(context) < bytes ? BigInt(context) : bytes;
}

function outputTokensMax(plan: Plan, reading: Reading): bigint {
  const { outputTokensMax: modelMax, contextTokens } = plan.model;
  const each = reading.outputCap?.tokens ?? modelMax ?? contextTokens ?? OUTPUT_TOKENS_DEFAULT;
  return BigInt(each) * BigInt(reading.choices);
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

/** `2026-11`, in UTC. */
export function monthOf(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 7);
}

/** What this request needs of each limit that its key and project have; empty when they have none. */
export function needsOf(caller: Caller, plan: Plan, reading: Reading, nowMs: number): Need[] {
  const { key, tenant } = caller;
  const needs: Need[] = [];
  const need = (resource: LeaseResource, limit: number | null, amount: bigint) => {
    if (limit !== null) needs.push({ resource, limit: BigInt(limit), amount });
  };
  need(`requests:key:${key.id}`, key.limits.requestsPerMinute, 1n);
  need(`requests:project:${tenant.projectId}`, tenant.limits.requestsPerMinute, 1n);
  need(`streams:key:${key.id}`, key.limits.concurrentStreams, 1n);
  need(`streams:project:${tenant.projectId}`, tenant.limits.concurrentStreams, 1n);
  const limited = key.limits.tokensPerMinute !== null || tenant.limits.tokensPerMinute !== null;
  if (!limited && tenant.monthlySpendLimitPico === null) return needs;
  const input = inputTokensMax(plan, reading);
  const output = outputTokensMax(plan, reading);
  need(`tokens:key:${key.id}`, key.limits.tokensPerMinute, input + output);
  need(`tokens:project:${tenant.projectId}`, tenant.limits.tokensPerMinute, input + output);
  if (tenant.monthlySpendLimitPico !== null) {
    const resource: LeaseResource = `spend:project:${tenant.projectId}:${monthOf(nowMs)}`;
    needs.push({
      resource,
      limit: tenant.monthlySpendLimitPico,
      amount: ceilingPico(plan.price, input, output),
    });
  }
  return needs;
}

/** OpenAI's headers, for the tighter one where both the key and its project are limited. */
export function limitHeaders(
  leases: Pick<LeaseHolder, "remaining">,
  needs: readonly Need[],
): Record<string, string> {
  const headers: Record<string, string> = {};
  const tightest: Record<string, bigint> = {};
  for (const { resource, limit } of needs) {
    const kind = resource.slice(0, resource.indexOf(":"));
    if (kind !== "requests" && kind !== "tokens") continue;
    const remaining = leases.remaining(resource) ?? limit;
    if (remaining >= (tightest[kind] ?? remaining + 1n)) continue;
    tightest[kind] = remaining;
    headers[`x-ratelimit-limit-${kind}`] = limit.toString();
    headers[`x-ratelimit-remaining-${kind}`] = remaining.toString();
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
