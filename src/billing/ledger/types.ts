// The ledger's vocabulary: a posting is a fact with its amount, and what a segment adds to accounts, minutes and budgets.
// Invariants: a posting's id is where it came from (gateway, lane, sequence, index); the entries of a segment sum to zero.

import type { RequestId } from "../../kit/id.ts";
import type { Fact, FactStatus } from "../metering/types.ts";

declare const refBrand: unique symbol;
/** The small integer that facts carry for an organisation: the tenant of every read below. */
export type OrganisationRef = number & { readonly [refBrand]: true };

/** Brands a ref that came from `organisations.ref`. */
export function asOrganisationRef(ref: number): OrganisationRef {
  return ref as OrganisationRef;
}

/** Where a fact lies in a gateway's journal, for ever. */
export interface FactReference {
  readonly gateway: string;
  readonly lane: number;
  readonly sequence: number;
  /** Position of the settle record among all records of the segment. */
  readonly index: number;
}

export interface PostedFact extends FactReference {
  readonly fact: Fact;
  readonly amountPico: bigint;
  /** False: another version was in force when the request began; the amount is still by the fact's own version. */
  readonly priceInForce: boolean;
}

/** `receivable`: what a project owes; `revenue`: what was earned. Debits are positive. */
export const ACCOUNTS = ["receivable", "revenue"] as const;
export type Account = (typeof ACCOUNTS)[number];

/** One line of the double entry: a segment's facts of one project, model version and price version. */
export interface LedgerEntry {
  readonly gateway: string;
  readonly lane: number;
  readonly sequence: number;
  readonly account: Account;
  readonly organisationRef: number;
  readonly projectRef: number;
  readonly modelVersionRef: number;
  readonly priceVersionRef: number;
  readonly factCount: number;
  readonly amountPico: bigint;
}

/** Input includes its cached part, output its reasoning part, as providers report them. */
export interface Tokens {
  readonly input: bigint;
  readonly cachedInput: bigint;
  readonly output: bigint;
  readonly reasoning: bigint;
}

/** What sums are made of; `requests` counts attempts, because every attempt is a row that can be looked at. */
export interface UsageSums {
  readonly requests: bigint;
  readonly failures: bigint;
  readonly inputTokens: bigint;
  readonly cachedInputTokens: bigint;
  readonly outputTokens: bigint;
  readonly amountPico: bigint;
}

export interface UsageMinute extends UsageSums {
  readonly organisationRef: number;
  readonly projectRef: number;
  readonly keyRef: number;
  readonly modelVersionRef: number;
  readonly engineRef: number;
  readonly minuteMs: number;
}

/** What a gateway has really used of a project's spend budget of one UTC month (`2026-11`), by its segment `sequence`. */
export interface SettledSpend {
  readonly gateway: string;
  readonly sequence: number;
  readonly projectRef: number;
  readonly month: string;
  readonly amountPico: bigint;
}

/**
 * What one transaction posts: consecutive segments of one gateway and lane (HOUSE seam 3). The granularity here is `segment`:
 * entries are one per segment, account, project, model and price. `event` (an entry a fact) or `window` (entries per account
 * and minute) are other ways to fill `entries`; nothing else would change.
 */
export interface PostingBatch {
  readonly facts: readonly PostedFact[];
  readonly entries: readonly LedgerEntry[];
  readonly minutes: readonly UsageMinute[];
  readonly spends: readonly SettledSpend[];
}

/** A sealed segment as it was received. */
export interface StoredSegment {
  readonly gateway: string;
  readonly lane: number;
  readonly sequence: number;
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** How far a gateway's lane has come; `posted` ≤ `received`. */
export interface LaneCursor {
  readonly gateway: string;
  readonly lane: number;
  readonly epoch: number;
  readonly received: number;
  readonly receivedDigest: string;
  readonly posted: number;
  readonly frozenReason: string | null;
}

export interface FactFilter {
  readonly fromMs?: number;
  /** Exclusive. */
  readonly toMs?: number;
  /** Any of these. */
  readonly statuses?: readonly FactStatus[];
  readonly modelVersionRefs?: readonly number[];
  readonly keyRef?: number;
  readonly projectRef?: number;
  readonly engineRef?: number;
}

/** The position after which a page goes on: newest first. */
export interface FactPosition extends FactReference {
  readonly startedAtMs: number;
}

export const USAGE_DIMENSIONS = ["model", "project", "key", "engine", "day"] as const;
export type UsageDimension = (typeof USAGE_DIMENSIONS)[number];

/** `group`: the ref of the dimension, or the day as `2026-11-24`. */
export interface UsageGroup extends UsageSums {
  readonly group: string;
}

/** A minute counts whole as soon as it has an instant in [fromMs, toMs). */
export interface UsageQuestion {
  readonly fromMs: number;
  readonly toMs: number;
  readonly groupBy: UsageDimension;
  /** IANA name; where a day begins. */
  readonly timeZone: string;
}

export interface Percentiles {
  /** Nearest rank, over the attempts that relayed a byte; null when none did. */
  readonly firstByteP50Ms: number | null;
  readonly firstByteP95Ms: number | null;
}

export interface WindowSums extends UsageSums, Percentiles {
  /** Null: the whole window. */
  readonly minuteMs: number | null;
}

/** The only door to facts for drill-downs, invoices and replays (HOUSE seam 3); the contract is in `fact-reader.test.ts`. */
export interface FactReader {
  /** Newest first. */
  page(
    organisation: OrganisationRef,
    filter: FactFilter,
    after: FactPosition | undefined,
    limit: number,
  ): Promise<readonly PostedFact[]>;
  /** All attempts of one request, in order; empty when the organisation has no such request. */
  request(
    organisation: OrganisationRef,
    requestId: RequestId,
  ): Promise<readonly (PostedFact & { readonly segmentDigest: string })[]>;
  /** The minutes of [fromMs, toMs) that have facts, in order, and before them the whole window, in one consistent read. */
  window(
    organisation: OrganisationRef,
    fromMs: number,
    toMs: number,
  ): Promise<readonly WindowSums[]>;
  /** In the order of the groups' text. Throws `request.invalid` at a time zone that the database does not know. */
  usage(organisation: OrganisationRef, question: UsageQuestion): Promise<readonly UsageGroup[]>;
}
