// Posting: received segments, in order per gateway and lane, become facts, entries, minutes and settled spend.
// Invariants: one transaction a batch, begun by moving the lane's cursor by compare-and-set, so every segment is posted exactly
// once however many workers run or die; a segment that cannot be read or rated freezes its own lane and no other, and a lane
// that fails for another reason stays where it is while the others go on.

import type { Transaction } from "kysely";
import { isConnectionError } from "../../db/errors.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Clock } from "../../kit/clock.ts";
import { errorText, type Log } from "../../kit/log.ts";
import type { PriceTerm } from "../prices/types.ts";
import { rateBatch, readSegment, toPosting, type RatedBatch } from "./rules.ts";
import { openLedgerStore } from "./store.ts";
import type { LaneCursor, PostedFact, SettledSpend, StoredSegment } from "./types.ts";

export interface LedgerDeps {
  readonly inTransaction: <T>(work: (trx: Transaction<DB>) => Promise<T>) => Promise<T>;
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Log;
  /** Price versions by ref; what is not known is absent. */
  readonly priceTerms: (
    trx: Transaction<DB>,
    refs: readonly number[],
  ) => Promise<ReadonlyMap<number, PriceTerm>>;
  /** Moves what was used from the gateway's grants to the settled sum of each budget. */
  readonly settleSpend: (trx: Transaction<DB>, spends: readonly SettledSpend[]) => Promise<void>;
}

export interface PostingLimits {
  /** Segments a transaction takes; each is at most 256 KiB or 1,024 records. */
  readonly batchMax: number;
}

export interface Posted {
  readonly segments: number;
  readonly facts: number;
  readonly frozen: number;
  /** Lanes whose transaction failed; they are tried again with the next call. */
  readonly failed: number;
  /** True when a lane had a full batch: ask again at once. */
  readonly more: boolean;
}

const NOTHING: Posted = { segments: 0, facts: 0, frozen: 0, failed: 0, more: false };

async function rate(
  deps: LedgerDeps,
  trx: Transaction<DB>,
  cursor: LaneCursor,
  segments: readonly StoredSegment[],
): Promise<RatedBatch> {
  const reads = segments.map(readSegment);
  const refs = new Set(
    reads.flatMap(({ settled }) => settled.map(({ fact }) => fact.priceVersionRef)),
  );
  const terms = await deps.priceTerms(trx, [...refs]);
  return rateBatch(cursor.posted, reads, terms);
}

function warnOfLatePrices(deps: LedgerDeps, facts: readonly PostedFact[]): void {
  const late = facts.filter((posted) => !posted.priceInForce);
  const [first] = late;
  if (first === undefined) return;
  deps.log.warn("ledger.price_not_in_force", {
    facts: late.length,
    requestId: first.fact.requestId,
    priceVersionRef: first.fact.priceVersionRef,
  });
}

async function postLane(
  deps: LedgerDeps,
  trx: Transaction<DB>,
  cursor: LaneCursor,
  batchMax: number,
): Promise<Posted> {
  const store = openLedgerStore(trx);
  const { gateway, lane } = cursor;
  const segments = await store.selectSegments(cursor, batchMax);
  const batch = await rate(deps, trx, cursor, segments);
  // Also where nothing can be posted: whoever moved the cursor first decides, freezing included.
  if (!(await store.movePosted(cursor, cursor.posted + batch.segments))) return NOTHING;
  const posting = toPosting(batch.facts);
  await store.insertPosting(posting, new Date(deps.clock.nowMs()));
  if (posting.spends.length > 0) await deps.settleSpend(trx, posting.spends);
  if (batch.flaw !== undefined) {
    await store.freeze(gateway, lane, batch.flaw);
    deps.log.error("ledger.frozen", { gateway, lane, reason: batch.flaw });
  }
  warnOfLatePrices(deps, batch.facts);
  return {
    segments: batch.segments,
    facts: batch.facts.length,
    frozen: batch.flaw === undefined ? 0 : 1,
    failed: 0,
    more: segments.length === batchMax,
  };
}

async function tryLane(deps: LedgerDeps, cursor: LaneCursor, batchMax: number): Promise<Posted> {
  try {
    return await deps.inTransaction((trx) => postLane(deps, trx, cursor, batchMax));
  } catch (error) {
    if (isConnectionError(error)) throw error;
    const { gateway, lane } = cursor;
    deps.log.error("ledger.lane_failed", { gateway, lane, reason: errorText(error) });
    return { ...NOTHING, failed: 1 };
  }
}

/** One batch of every lane that has something. Throws when the database cannot be reached. */
export async function postSegments(deps: LedgerDeps, limits: PostingLimits): Promise<Posted> {
  const backlog = await deps.inTransaction((trx) => openLedgerStore(trx).selectBacklog());
  let all = NOTHING;
  for (const cursor of backlog) {
    const posted = await tryLane(deps, cursor, limits.batchMax);
    all = {
      segments: all.segments + posted.segments,
      facts: all.facts + posted.facts,
      frozen: all.frozen + posted.frozen,
      failed: all.failed + posted.failed,
      more: all.more || posted.more,
    };
  }
  return all;
}

/** For budgets: up to which sequence each gateway's usage is in the ledger; absent: nothing is. */
export function selectPostedUpTo(
  trx: Transaction<DB>,
  gateways: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  return openLedgerStore(trx).selectPosted(gateways);
}
