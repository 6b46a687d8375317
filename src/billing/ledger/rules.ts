// From a sealed segment to what is posted: read, rate, and sum up. Pure.
// Invariants: a segment is posted whole or not at all; the entries of a segment sum to zero and cover each of its facts once.

import { priceFact } from "../prices/rules.ts";
import type { PriceTerm } from "../prices/types.ts";
import { scanFrames } from "../metering/frames.rules.ts";
import { decodeRecord } from "../metering/rules.ts";
import { decodeSegment, segmentDigest } from "../metering/segment.rules.ts";
import type { Fact, FactStatus, Quantity } from "../metering/types.ts";
import type {
  LedgerEntry,
  PostedFact,
  PostingBatch,
  SettledSpend,
  StoredSegment,
  Tokens,
  UsageMinute,
} from "./types.ts";

const MINUTE_MS = 60_000;
/** A gateway learns of a new price with its next snapshot; until then the old version is no mistake. */
export const PRICE_LAG_MS = 5_000;

const FAILURES: ReadonlySet<FactStatus> = new Set([
  "refused_upstream",
  "failed",
  "cut",
  "interrupted",
]);

/** A caller who leaves is served as far as he stayed: no failure of ours. */
export function isFailure(status: FactStatus): boolean {
  return FAILURES.has(status);
}

export function sumTokens(quantities: readonly Quantity[]): Tokens {
  const of = new Map<string, bigint>();
  for (const { meter, amount } of quantities) of.set(meter, (of.get(meter) ?? 0n) + amount);
  const sum = (...meters: string[]) =>
    meters.reduce((all, meter) => all + (of.get(meter) ?? 0n), 0n);
  return {
    input: sum("input_tokens", "cached_input_tokens", "cache_write_tokens", "audio_input_tokens"),
    cachedInput: sum("cached_input_tokens"),
    output: sum("output_tokens", "reasoning_tokens", "audio_output_tokens"),
    reasoning: sum("reasoning_tokens"),
  };
}

/** A settle record and its place in the segment. */
export interface Settled {
  readonly index: number;
  readonly fact: Fact;
}

export interface ReadSegment {
  readonly segment: StoredSegment;
  readonly settled: readonly Settled[];
  /** Why it cannot be posted; undefined: it can. */
  readonly flaw: string | undefined;
}

function settledOf(segment: StoredSegment): Settled[] | string {
  if (segmentDigest(segment.bytes) !== segment.digest) return "its bytes do not have its digest";
  const { header, frames } = decodeSegment(segment.bytes);
  if (
    header.gateway !== segment.gateway ||
    header.lane !== segment.lane ||
    header.sequence !== segment.sequence
  )
    return `it calls itself ${header.gateway}/${header.lane}/${header.sequence}`;
  const { payloads, wholeBytes } = scanFrames(frames);
  if (wholeBytes !== frames.length || payloads.length !== header.count)
    return `${payloads.length} of ${header.count} records are whole`;
  return payloads.flatMap((payload, index) => {
    const record = decodeRecord(payload);
    return record.type === "settle" ? [{ index, fact: record.fact }] : [];
  });
}

/** Only settle records are posted; intents and progress serve recovery at the gateway. */
export function readSegment(segment: StoredSegment): ReadSegment {
  try {
    const settled = settledOf(segment);
    return typeof settled === "string"
      ? { segment, settled: [], flaw: settled }
      : { segment, settled, flaw: undefined };
  } catch (error) {
    return { segment, settled: [], flaw: error instanceof Error ? error.message : String(error) };
  }
}

/** Whether a version was the one to use at that instant, allowing for a gateway that had not heard of the next one. */
export function wasInForce(term: PriceTerm, atMs: number): boolean {
  return (
    term.version.effectiveFromMs <= atMs &&
    (term.supersededAtMs === null || atMs < term.supersededAtMs + PRICE_LAG_MS)
  );
}

type Terms = ReadonlyMap<number, PriceTerm>;

/** A fact without a known price is never rated at zero: the segment is flawed instead. */
function rateSegment({ segment, settled }: ReadSegment, terms: Terms): PostedFact[] | string {
  const { gateway, lane, sequence } = segment;
  const facts: PostedFact[] = [];
  for (const { index, fact } of settled) {
    const term = terms.get(fact.priceVersionRef);
    if (term === undefined)
      return `record ${index}: price version ${fact.priceVersionRef} is not known`;
    const amountPico = priceFact(term.version, fact.quantities);
    const priceInForce = wasInForce(term, fact.startedAtMs);
    facts.push({ gateway, lane, sequence, index, fact, amountPico, priceInForce });
  }
  return facts;
}

export interface RatedBatch {
  /** Leading segments that can be posted. */
  readonly segments: number;
  readonly facts: readonly PostedFact[];
  /** What is wrong with the segment after them; undefined: nothing, all were taken. */
  readonly flaw: string | undefined;
}

/** `posted`: the sequence before the first segment; the batch ends before the first gap or flaw. */
export function rateBatch(posted: number, reads: readonly ReadSegment[], terms: Terms): RatedBatch {
  const facts: PostedFact[] = [];
  for (const [at, read] of reads.entries()) {
    const sequence = posted + 1 + at;
    const flawed = (flaw: string) => ({
      segments: at,
      facts,
      flaw: `segment ${sequence}: ${flaw}`,
    });
    if (read.segment.sequence !== sequence) return flawed("it was received but is missing");
    if (read.flaw !== undefined) return flawed(read.flaw);
    const rated = rateSegment(read, terms);
    if (typeof rated === "string") return flawed(rated);
    facts.push(...rated);
  }
  return { segments: reads.length, facts, flaw: undefined };
}

function toEntries(facts: readonly PostedFact[]): LedgerEntry[] {
  const groups = Map.groupBy(
    facts,
    ({ sequence, fact }) =>
      `${sequence}/${fact.projectRef}/${fact.modelVersionRef}/${fact.priceVersionRef}`,
  );
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { gateway, lane, sequence, fact } = first;
    const { organisationRef, projectRef, modelVersionRef, priceVersionRef } = fact;
    const amountPico = group.reduce((sum, posted) => sum + posted.amountPico, 0n);
    const line = {
      gateway,
      lane,
      sequence,
      organisationRef,
      projectRef,
      modelVersionRef,
      priceVersionRef,
      factCount: group.length,
    };
    return [
      { ...line, account: "receivable" as const, amountPico },
      { ...line, account: "revenue" as const, amountPico: -amountPico },
    ];
  });
}

function sumMinute(minuteMs: number, group: readonly PostedFact[]): UsageMinute[] {
  const [first] = group;
  if (first === undefined) return [];
  const { organisationRef, projectRef, keyRef, modelVersionRef, engineRef } = first.fact;
  let [failures, inputTokens, cachedInputTokens, outputTokens, amountPico] = [0n, 0n, 0n, 0n, 0n];
  for (const posted of group) {
    const tokens = sumTokens(posted.fact.quantities);
    failures += isFailure(posted.fact.status) ? 1n : 0n;
    inputTokens += tokens.input;
    cachedInputTokens += tokens.cachedInput;
    outputTokens += tokens.output;
    amountPico += posted.amountPico;
  }
  const requests = BigInt(group.length);
  const keys = { organisationRef, projectRef, keyRef, modelVersionRef, engineRef, minuteMs };
  return [
    { ...keys, requests, failures, inputTokens, cachedInputTokens, outputTokens, amountPico },
  ];
}

export function toMinuteMs(atMs: number): number {
  return Math.floor(atMs / MINUTE_MS) * MINUTE_MS;
}

/** In the order of their keys, so that two transactions lock shared rows in the same order. */
function toMinutes(facts: readonly PostedFact[]): UsageMinute[] {
  const groups = Map.groupBy(facts, ({ fact }) =>
    [
      toMinuteMs(fact.startedAtMs),
      fact.organisationRef,
      fact.projectRef,
      fact.keyRef,
      fact.modelVersionRef,
      fact.engineRef,
    ].join("/"),
  );
  return [...groups]
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .flatMap(([key, group]) => sumMinute(Number(key.slice(0, key.indexOf("/"))), group));
}

/** UTC, as in the lease resource `spend:project:<id>:2026-11`. */
export function toMonth(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 7);
}

function toSpends(facts: readonly PostedFact[]): SettledSpend[] {
  const sums = new Map<string, SettledSpend>();
  for (const { gateway, sequence, fact, amountPico } of facts) {
    if (amountPico === 0n) continue;
    const month = toMonth(fact.startedAtMs);
    const { projectRef } = fact;
    const key = `${sequence}/${projectRef}/${month}`;
    const before = sums.get(key)?.amountPico ?? 0n;
    sums.set(key, { gateway, sequence, projectRef, month, amountPico: before + amountPico });
  }
  return [...sums.values()];
}

/** `facts`: of consecutive segments of one gateway and lane. */
export function toPosting(facts: readonly PostedFact[]): PostingBatch {
  return {
    facts,
    entries: toEntries(facts),
    minutes: toMinutes(facts),
    spends: toSpends(facts),
  };
}
