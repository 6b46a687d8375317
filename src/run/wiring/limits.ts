// What each limit is at the moment, for the lease giver: looked up in the rows behind the newest snapshot.

import { kindOf, spendPartsOf } from "../../billing/budgets/rules.ts";
import type { LeaseResource } from "../../billing/budgets/types.ts";
import type { KeyLimits } from "../../identity/keys/types.ts";
import type { SnapshotRows } from "../../snapshot/rows.types.ts";

type Subject = { readonly limits: KeyLimits; readonly monthlySpendLimitPico: bigint | null };

/** null: no limit is set; undefined: there is no such key or project, or nothing is known yet. */
export type LimitOf = (resource: LeaseResource) => bigint | null | undefined;

const FIELDS = {
  requests: "requestsPerMinute",
  tokens: "tokensPerMinute",
  streams: "concurrentStreams",
} as const;

function index(rows: SnapshotRows): ReadonlyMap<string, Subject> {
  return new Map<string, Subject>([
    ...rows.tenants.map((tenant) => [`project:${tenant.projectId}`, tenant] as const),
    ...rows.keys.map(
      (key) => [`key:${key.id}`, { limits: key.limits, monthlySpendLimitPico: null }] as const,
    ),
  ]);
}

/** `rows`: the newest; the index is made again only when they are others. */
export function createLimits(rows: () => SnapshotRows | undefined): LimitOf {
  let indexed:
    | { readonly rows: SnapshotRows; readonly subjects: ReturnType<typeof index> }
    | undefined;
  return (resource) => {
    const newest = rows();
    if (newest === undefined) return undefined;
    if (indexed?.rows !== newest) indexed = { rows: newest, subjects: index(newest) };
    const [name, owner, id] = resource.split(":");
    const subject = indexed.subjects.get(`${owner}:${id}`);
    if (subject === undefined) return undefined;
    if (kindOf(resource) === "spend")
      return spendPartsOf(resource) === undefined ? undefined : subject.monthlySpendLimitPico;
    const field =
      name === "requests" || name === "tokens" || name === "streams" ? FIELDS[name] : undefined;
    const limit = field && subject.limits[field];
    return limit === null ? null : limit === undefined ? undefined : BigInt(limit);
  };
}
