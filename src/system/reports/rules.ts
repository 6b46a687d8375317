// From posted facts and sums to rows that people read. Pure.
// Invariants: no amount is rounded; the lines of an attempt sum to its stored amount, or there is no answer at all.

import { isFailure, sumTokens } from "../../billing/ledger/rules.ts";
import type {
  FactPosition,
  PostedFact,
  UsageGroup,
  UsageSums,
  WindowSums,
} from "../../billing/ledger/types.ts";
import { FACT_STATUSES, type Fact, type FactStatus } from "../../billing/metering/types.ts";
import { meterPrice, toPerMillion } from "../../billing/prices/rules.ts";
import type { PriceVersion } from "../../billing/prices/types.ts";
import { formatDecimal } from "../../kit/money.ts";
import type {
  AttemptDetail,
  Overview,
  PriceLine,
  RequestRow,
  STATUS_FILTERS,
  Usage,
  UsageRow,
} from "./types.ts";

export type NamedKind = "project" | "key" | "zone" | "engine" | "model" | "price";
export type Refs = Readonly<Record<NamedKind, readonly number[]>>;

/** `version`: of a model only. */
export interface Named {
  readonly kind: NamedKind;
  readonly ref: number;
  readonly id: string;
  readonly name: string;
  readonly version: string;
}
export type Names = (kind: NamedKind, ref: number) => Pick<Named, "id" | "name" | "version">;

const NO_REFS: Refs = { project: [], key: [], zone: [], engine: [], model: [], price: [] };

export function refsOf(facts: readonly Fact[]): Refs {
  const all = (read: (fact: Fact) => number) => [...new Set(facts.map(read))];
  return {
    project: all((fact) => fact.projectRef),
    key: all((fact) => fact.keyRef),
    zone: all((fact) => fact.zoneRef),
    engine: all((fact) => fact.engineRef),
    model: all((fact) => fact.modelVersionRef),
    price: all((fact) => fact.priceVersionRef),
  };
}

export const refsOfKind = (kind: NamedKind, refs: readonly number[]): Refs => ({
  ...NO_REFS,
  [kind]: refs,
});

/** A ref of 0 names nothing; another one without a row keeps its number, so that two of them are told apart. */
export function toNames(rows: readonly Named[]): Names {
  const found = new Map(rows.map((row) => [`${row.kind} ${row.ref}`, row]));
  return (kind, ref) =>
    found.get(`${kind} ${ref}`) ?? { id: "", name: ref === 0 ? "" : `#${ref}`, version: "" };
}

const toSums = (sums: UsageSums) => ({
  requests: Number(sums.requests),
  failures: Number(sums.failures),
  inputTokens: Number(sums.inputTokens),
  outputTokens: Number(sums.outputTokens),
  amount: formatDecimal(sums.amountPico),
});

const ranksOf = ({ firstByteP50Ms, firstByteP95Ms }: WindowSums) => ({
  firstByteP50Ms,
  firstByteP95Ms,
});

/** `whole`: the row of the whole window. */
export function toOverview(
  nowMs: number,
  whole: WindowSums,
  rows: readonly WindowSums[],
): Overview {
  return {
    asOf: new Date(nowMs).toISOString(),
    series: rows.flatMap((row) =>
      row.minuteMs === null
        ? []
        : [{ minute: new Date(row.minuteMs).toISOString(), ...toSums(row), ...ranksOf(row) }],
    ),
    totals: toSums(whole),
    ...ranksOf(whole),
  };
}

const NOTHING: UsageSums = {
  requests: 0n,
  failures: 0n,
  inputTokens: 0n,
  cachedInputTokens: 0n,
  outputTokens: 0n,
  amountPico: 0n,
};

const add = (left: UsageSums, right: UsageSums): UsageSums => ({
  requests: left.requests + right.requests,
  failures: left.failures + right.failures,
  inputTokens: left.inputTokens + right.inputTokens,
  cachedInputTokens: left.cachedInputTokens + right.cachedInputTokens,
  outputTokens: left.outputTokens + right.outputTokens,
  amountPico: left.amountPico + right.amountPico,
});

const toTotal = (sums: UsageSums) => ({
  ...toSums(sums),
  cachedInputTokens: Number(sums.cachedInputTokens),
});

/** What a group is called in links and on the page; groups of one call are one (a model's versions). */
export type GroupName = (group: string) => Pick<UsageRow, "group" | "label">;

const dearestFirst = (
  left: UsageSums & Pick<UsageRow, "label">,
  right: UsageSums & Pick<UsageRow, "label">,
) => {
  if (left.amountPico !== right.amountPico) return left.amountPico > right.amountPico ? -1 : 1;
  return left.label < right.label ? -1 : 1;
};

/** `groups` of days keep their order; others come dearest first. */
export function toUsage(groups: readonly UsageGroup[], nameOf: GroupName, byDay: boolean): Usage {
  const named = groups.map((sums) => ({ ...sums, ...nameOf(sums.group) }));
  const merged = [...Map.groupBy(named, ({ group }) => group)].map(([group, parts]) => ({
    group,
    label: parts[0]?.label ?? group,
    ...parts.reduce(add, NOTHING),
  }));
  const rows = byDay ? merged : merged.toSorted(dearestFirst);
  return {
    rows: rows.map(({ group, label, ...sums }) => ({ group, label, ...toTotal(sums) })),
    total: toTotal(groups.reduce(add, NOTHING)),
  };
}

export function statusesOf(filter: (typeof STATUS_FILTERS)[number]): readonly FactStatus[] {
  return filter === "failures" ? FACT_STATUSES.filter(isFailure) : [filter];
}

/** Of the text that the cursor's schema let through. */
export function toPosition(cursor: string): FactPosition {
  const [at = "", gateway = "", lane = "", sequence = "", index = ""] = cursor.split(".");
  return {
    startedAtMs: Number(at),
    gateway,
    lane: Number(lane),
    sequence: Number(sequence),
    index: Number(index),
  };
}

export function toCursor({ fact, gateway, lane, sequence, index }: PostedFact): string {
  return [fact.startedAtMs, gateway, lane, sequence, index].join(".");
}

export function toRow({ fact, amountPico }: PostedFact, names: Names): RequestRow {
  const tokens = sumTokens(fact.quantities);
  const model = names("model", fact.modelVersionRef);
  const key = names("key", fact.keyRef);
  return {
    requestId: fact.requestId,
    at: new Date(fact.startedAtMs).toISOString(),
    status: fact.status,
    httpStatus: fact.httpStatus,
    endpoint: fact.endpoint,
    model: model.name,
    version: model.version,
    zone: names("zone", fact.zoneRef).name,
    engine: names("engine", fact.engineRef).name,
    attempt: fact.attempt,
    attemptKind: fact.attemptKind,
    keyId: key.id,
    keyName: key.name,
    project: names("project", fact.projectRef).name,
    streamed: fact.streamed,
    firstByteMs: fact.firstByteMs < 0 ? null : fact.firstByteMs,
    durationMs: fact.durationMs,
    inputTokens: Number(tokens.input),
    cachedInputTokens: Number(tokens.cachedInput),
    outputTokens: Number(tokens.output),
    reasoningTokens: Number(tokens.reasoning),
    amount: formatDecimal(amountPico),
    priceVersionId: names("price", fact.priceVersionRef).id || null,
  };
}

/** Rates the fact again, line by line. Throws when that is not what was posted: a price version never changes. */
function linesOf({ fact, amountPico }: PostedFact, version: PriceVersion | undefined): PriceLine[] {
  const lines = fact.quantities.map(({ meter, amount }) => {
    const pico = version ? meterPrice(version, meter) : 0n;
    return { meter, quantity: amount, pico, amountPico: amount * pico };
  });
  const sumPico = lines.reduce((sum, line) => sum + line.amountPico, 0n);
  if (sumPico !== amountPico)
    throw new Error(`${fact.requestId}: its lines come to ${sumPico} pico, not to ${amountPico}`);
  return lines.map((line) => ({
    meter: line.meter,
    quantity: Number(line.quantity),
    perMillion: toPerMillion(line.pico),
    amount: formatDecimal(line.amountPico),
  }));
}

export function toDetail(
  posted: PostedFact & { readonly segmentDigest: string },
  names: Names,
  version: PriceVersion | undefined,
): AttemptDetail {
  const { fact, gateway, lane, sequence, index, segmentDigest } = posted;
  return {
    ...toRow(posted, names),
    upstreamRequestId: fact.upstreamRequestId,
    quantities: fact.quantities.map((quantity) => ({
      ...quantity,
      amount: Number(quantity.amount),
    })),
    priceLines: linesOf(posted, version),
    posting: { gateway, lane, sequence, index, segmentDigest },
  };
}
