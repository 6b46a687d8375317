// SQL of the ledger's own tables: segments in, cursors forward, facts, entries and minutes posted.
// Invariant: a cursor moves only by compare-and-set inside the transaction that does its work; nothing here is ever updated twice.

import { sql, type Kysely } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import type { LaneCursor, PostingBatch, StoredSegment } from "./types.ts";

type LedgerDb = Kysely<
  Pick<DB, "ledger_cursors" | "segments" | "facts" | "ledger_entries" | "usage_minutes">
>;

export interface LedgerStore {
  /** Lanes with segments to post, frozen ones left out. */
  selectBacklog(): Promise<readonly LaneCursor[]>;
  /** The lane's cursor, made if need be and locked until the transaction ends. */
  lockCursor(gateway: string, lane: number): Promise<LaneCursor>;
  selectSegments(cursor: LaneCursor, limit: number): Promise<readonly StoredSegment[]>;
  selectDigest(gateway: string, lane: number, sequence: number): Promise<string | undefined>;
  /** The last sequence received, by lane. */
  selectReceived(gateway: string): Promise<Readonly<Record<string, number>>>;
  /** How far each gateway's first lane is posted. */
  selectPosted(gateways: readonly string[]): Promise<ReadonlyMap<string, number>>;
  insertSegment(
    segment: StoredSegment,
    epoch: number,
    recordCount: number,
    at: Date,
  ): Promise<void>;
  /** False when another worker has moved the cursor or the lane is frozen. */
  movePosted(cursor: LaneCursor, posted: number): Promise<boolean>;
  insertPosting(batch: PostingBatch, at: Date): Promise<void>;
  freeze(gateway: string, lane: number, reason: string): Promise<void>;
}

interface CursorRow {
  readonly gateway: string;
  readonly lane: number;
  readonly epoch: number;
  readonly received: number;
  readonly received_digest: string;
  readonly posted: number;
  readonly frozen_reason: string | null;
}

const toCursor = (row: CursorRow): LaneCursor => ({
  gateway: row.gateway,
  lane: row.lane,
  epoch: row.epoch,
  received: row.received,
  receivedDigest: row.received_digest,
  posted: row.posted,
  frozenReason: row.frozen_reason,
});

/** Bigints as text: Postgres reads them back exactly. */
const toJson = (rows: readonly object[]) =>
  JSON.stringify(rows, (_, value: unknown) =>
    typeof value === "bigint" ? value.toString() : value,
  );

const factRows = ({ facts }: PostingBatch) =>
  facts.map(({ fact, ...posted }) => ({
    gateway: posted.gateway,
    lane: posted.lane,
    sequence: posted.sequence,
    index: posted.index,
    request_id: fact.requestId,
    organisation_ref: fact.organisationRef,
    firm_ref: fact.firmRef,
    project_ref: fact.projectRef,
    key_ref: fact.keyRef,
    model_version_ref: fact.modelVersionRef,
    zone_ref: fact.zoneRef,
    engine_ref: fact.engineRef,
    price_version_ref: fact.priceVersionRef,
    snapshot_sequence: fact.snapshotSequence,
    attempt: fact.attempt,
    attempt_kind: fact.attemptKind,
    endpoint: fact.endpoint,
    status: fact.status,
    http_status: fact.httpStatus,
    streamed: fact.streamed,
    served_tier: fact.servedTier,
    caller_jurisdiction: fact.callerJurisdiction,
    zone_jurisdiction: fact.zoneJurisdiction,
    started_at: new Date(fact.startedAtMs),
    first_byte_ms: fact.firstByteMs,
    duration_ms: fact.durationMs,
    upstream_request_id: fact.upstreamRequestId,
    quantities: fact.quantities,
    amount_pico: posted.amountPico,
    price_in_force: posted.priceInForce,
  }));

const entryRows = ({ entries }: PostingBatch, at: Date) =>
  entries.map((entry) => ({
    gateway: entry.gateway,
    lane: entry.lane,
    sequence: entry.sequence,
    account: entry.account,
    organisation_ref: entry.organisationRef,
    project_ref: entry.projectRef,
    model_version_ref: entry.modelVersionRef,
    price_version_ref: entry.priceVersionRef,
    fact_count: entry.factCount,
    amount_pico: entry.amountPico,
    posted_at: at,
  }));

const minuteRows = ({ minutes }: PostingBatch) =>
  minutes.map((minute) => ({
    organisation_ref: minute.organisationRef,
    project_ref: minute.projectRef,
    key_ref: minute.keyRef,
    model_version_ref: minute.modelVersionRef,
    engine_ref: minute.engineRef,
    minute: new Date(minute.minuteMs),
    requests: minute.requests,
    failures: minute.failures,
    input_tokens: minute.inputTokens,
    cached_input_tokens: minute.cachedInputTokens,
    output_tokens: minute.outputTokens,
    amount_pico: minute.amountPico,
  }));

/** One statement a table, whatever the number of rows: Postgres unpacks the JSON by the table's own row type. */
async function insertPosting(db: LedgerDb, batch: PostingBatch, at: Date): Promise<void> {
  if (batch.facts.length === 0) return;
  await sql`insert into facts
    select * from json_populate_recordset(null::facts, ${toJson(factRows(batch))}::json)`.execute(
    db,
  );
  await sql`insert into ledger_entries
    select * from json_populate_recordset(null::ledger_entries, ${toJson(entryRows(batch, at))}::json)`.execute(
    db,
  );
  await sql`insert into usage_minutes as old
    select * from json_populate_recordset(null::usage_minutes, ${toJson(minuteRows(batch))}::json)
    on conflict (organisation_ref, minute, project_ref, key_ref, model_version_ref, engine_ref) do update set
      requests = old.requests + excluded.requests,
      failures = old.failures + excluded.failures,
      input_tokens = old.input_tokens + excluded.input_tokens,
      cached_input_tokens = old.cached_input_tokens + excluded.cached_input_tokens,
      output_tokens = old.output_tokens + excluded.output_tokens,
      amount_pico = old.amount_pico + excluded.amount_pico`.execute(db);
}

async function lockCursor(db: LedgerDb, gateway: string, lane: number): Promise<LaneCursor> {
  await db
    .insertInto("ledger_cursors")
    .values({ gateway, lane })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const row = await db
    .selectFrom("ledger_cursors")
    .selectAll()
    .where("gateway", "=", gateway)
    .where("lane", "=", lane)
    .forUpdate()
    .executeTakeFirstOrThrow();
  return toCursor(row);
}

async function insertSegment(
  db: LedgerDb,
  segment: StoredSegment,
  epoch: number,
  recordCount: number,
  at: Date,
): Promise<void> {
  const { gateway, lane, sequence, digest, bytes } = segment;
  await db
    .insertInto("segments")
    .values({
      gateway,
      lane,
      sequence,
      digest,
      record_count: recordCount,
      bytes: Buffer.from(bytes),
      received_at: at,
    })
    .execute();
  await db
    .updateTable("ledger_cursors")
    .set({ received: sequence, received_digest: digest, epoch })
    .where("gateway", "=", gateway)
    .where("lane", "=", lane)
    .execute();
}

async function movePosted(db: LedgerDb, cursor: LaneCursor, posted: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("ledger_cursors")
    .set({ posted })
    .where("gateway", "=", cursor.gateway)
    .where("lane", "=", cursor.lane)
    .where("posted", "=", cursor.posted)
    .where("frozen_reason", "is", null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

/** `all`: usually the transaction of the use case. */
export function openLedgerStore(all: Kysely<DB>): LedgerStore {
  const db: LedgerDb = all.$pickTables<
    "ledger_cursors" | "segments" | "facts" | "ledger_entries" | "usage_minutes"
  >();
  return {
    selectBacklog: async () => {
      const rows = await db
        .selectFrom("ledger_cursors")
        .selectAll()
        .whereRef("received", ">", "posted")
        .where("frozen_reason", "is", null)
        .orderBy("gateway")
        .orderBy("lane")
        .execute();
      return rows.map(toCursor);
    },
    lockCursor: (gateway, lane) => lockCursor(db, gateway, lane),
    selectSegments: async ({ gateway, lane, posted }, limit) => {
      const rows = await db
        .selectFrom("segments")
        .select(["gateway", "lane", "sequence", "digest", "bytes"])
        .where("gateway", "=", gateway)
        .where("lane", "=", lane)
        .where("sequence", ">", posted)
        .orderBy("sequence")
        .limit(limit)
        .execute();
      return rows;
    },
    selectDigest: async (gateway, lane, sequence) => {
      const row = await db
        .selectFrom("segments")
        .select("digest")
        .where("gateway", "=", gateway)
        .where("lane", "=", lane)
        .where("sequence", "=", sequence)
        .executeTakeFirst();
      return row?.digest;
    },
    selectReceived: async (gateway) => {
      const rows = await db
        .selectFrom("ledger_cursors")
        .select(["lane", "received"])
        .where("gateway", "=", gateway)
        .execute();
      return Object.fromEntries(rows.map(({ lane, received }) => [String(lane), received]));
    },
    selectPosted: async (gateways) => {
      if (gateways.length === 0) return new Map();
      const rows = await db
        .selectFrom("ledger_cursors")
        .select(["gateway", "posted"])
        .where("lane", "=", 0)
        .where("gateway", "in", [...gateways])
        .execute();
      return new Map(rows.map(({ gateway, posted }) => [gateway, posted]));
    },
    insertSegment: (segment, epoch, recordCount, at) =>
      insertSegment(db, segment, epoch, recordCount, at),
    movePosted: (cursor, posted) => movePosted(db, cursor, posted),
    insertPosting: (batch, at) => insertPosting(db, batch, at),
    freeze: async (gateway, lane, reason) => {
      await db
        .updateTable("ledger_cursors")
        .set({ frozen_reason: reason })
        .where("gateway", "=", gateway)
        .where("lane", "=", lane)
        .execute();
    },
  };
}
