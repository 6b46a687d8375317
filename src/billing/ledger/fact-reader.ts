// The embedded `FactReader`: facts and minutes as Postgres has them.
// Invariants: a read is one statement about one organisation, so it shows one moment; counts and amounts stay bigint throughout.

import {
  sql,
  type Expression,
  type ExpressionBuilder,
  type Kysely,
  type Selectable,
  type SqlBool,
} from "kysely";
import { isInvalidParameter } from "../../db/errors.ts";
import type { DB } from "../../db/schema.gen.ts";
import { Fault } from "../../kit/fault.ts";
import { asId, type RequestId } from "../../kit/id.ts";
import type { Fact, Quantity } from "../metering/types.ts";
import { toMinuteMs } from "./rules.ts";
import type {
  FactFilter,
  FactPosition,
  FactReader,
  OrganisationRef,
  PostedFact,
  UsageDimension,
  UsageGroup,
  UsageQuestion,
  UsageSums,
  WindowSums,
} from "./types.ts";

type ReadDb = Kysely<Pick<DB, "facts" | "segments" | "usage_minutes">>;
type FactRow = Selectable<DB["facts"]>;

interface StoredQuantity extends Omit<Quantity, "amount"> {
  readonly amount: string;
}

function toFact(row: FactRow): Fact {
  return {
    requestId: asId(row.request_id),
    attempt: row.attempt,
    // Only insertPosting writes facts, and it takes these words from decoded records.
    attemptKind: row.attempt_kind as Fact["attemptKind"],
    endpoint: row.endpoint as Fact["endpoint"],
    status: row.status as Fact["status"],
    httpStatus: row.http_status,
    streamed: row.streamed,
    firmRef: row.firm_ref,
    organisationRef: row.organisation_ref,
    projectRef: row.project_ref,
    keyRef: row.key_ref,
    modelVersionRef: row.model_version_ref,
    zoneRef: row.zone_ref,
    engineRef: row.engine_ref,
    priceVersionRef: row.price_version_ref,
    snapshotSequence: row.snapshot_sequence,
    servedTier: row.served_tier as Fact["servedTier"],
    callerJurisdiction: row.caller_jurisdiction,
    zoneJurisdiction: row.zone_jurisdiction,
    startedAtMs: row.started_at.getTime(),
    firstByteMs: row.first_byte_ms,
    durationMs: row.duration_ms,
    upstreamRequestId: row.upstream_request_id,
    quantities: (row.quantities as readonly StoredQuantity[]).map((quantity) => ({
      ...quantity,
      amount: BigInt(quantity.amount),
    })),
  };
}

const toPosted = (row: FactRow): PostedFact => ({
  gateway: row.gateway,
  lane: row.lane,
  sequence: row.sequence,
  index: row.index,
  fact: toFact(row),
  amountPico: row.amount_pico,
  priceInForce: row.price_in_force,
});

function matching(filter: FactFilter) {
  const { fromMs, toMs, statuses, modelVersionRefs, keyRef, projectRef, engineRef } = filter;
  return (where: ExpressionBuilder<Pick<DB, "facts">, "facts">) => {
    const all: Expression<SqlBool>[] = [];
    if (fromMs !== undefined) all.push(where("started_at", ">=", new Date(fromMs)));
    if (toMs !== undefined) all.push(where("started_at", "<", new Date(toMs)));
    if (statuses) all.push(sql`status = any(${statuses}::text[])`);
    if (modelVersionRefs) all.push(sql`model_version_ref = any(${modelVersionRefs}::int[])`);
    if (keyRef !== undefined) all.push(where("key_ref", "=", keyRef));
    if (projectRef !== undefined) all.push(where("project_ref", "=", projectRef));
    if (engineRef !== undefined) all.push(where("engine_ref", "=", engineRef));
    return where.and(all);
  };
}

/** Older than that position; the whole of it is compared, so that no two facts share a place. */
const olderThan = ({ startedAtMs, gateway, lane, sequence, index }: FactPosition) =>
  sql<boolean>`(started_at, gateway, lane, sequence, "index")
    < (${new Date(startedAtMs)}::timestamptz, ${gateway}::text, ${lane}::bigint, ${sequence}::bigint, ${index}::bigint)`;

async function page(
  db: ReadDb,
  organisation: OrganisationRef,
  filter: FactFilter,
  after: FactPosition | undefined,
  limit: number,
): Promise<PostedFact[]> {
  const facts = db
    .selectFrom("facts")
    .selectAll()
    .where("organisation_ref", "=", organisation)
    .where(matching(filter))
    .orderBy("started_at", "desc")
    .orderBy("gateway", "desc")
    .orderBy("lane", "desc")
    .orderBy("sequence", "desc")
    .orderBy("index", "desc")
    .limit(limit);
  const rows = await (after === undefined ? facts : facts.where(olderThan(after))).execute();
  return rows.map(toPosted);
}

async function request(db: ReadDb, organisation: OrganisationRef, requestId: RequestId) {
  const rows = await db
    .selectFrom("facts")
    .innerJoin("segments", (join) =>
      join
        .onRef("segments.gateway", "=", "facts.gateway")
        .onRef("segments.lane", "=", "facts.lane")
        .onRef("segments.sequence", "=", "facts.sequence"),
    )
    .selectAll("facts")
    .select("segments.digest")
    .where("facts.organisation_ref", "=", organisation)
    .where("facts.request_id", "=", requestId)
    .orderBy("facts.attempt")
    .orderBy("facts.started_at")
    .orderBy("facts.gateway")
    .orderBy("facts.lane")
    .orderBy("facts.sequence")
    .orderBy("facts.index")
    .execute();
  return rows.map((row) => ({ ...toPosted(row), segmentDigest: row.digest }));
}

interface SumRow {
  readonly requests: bigint;
  readonly failures: bigint;
  readonly input_tokens: bigint;
  readonly cached_input_tokens: bigint;
  readonly output_tokens: bigint;
  readonly amount_pico: bigint;
}

/** Over no row at all a sum is null in SQL, and zero here. */
const SUMS = sql.raw(
  ["requests", "failures", "input_tokens", "cached_input_tokens", "output_tokens", "amount_pico"]
    .map((column) => `coalesce(sum(${column}), 0) as ${column}`)
    .join(", "),
);

const toSums = (row: SumRow): UsageSums => ({
  requests: row.requests,
  failures: row.failures,
  inputTokens: row.input_tokens,
  cachedInputTokens: row.cached_input_tokens,
  outputTokens: row.output_tokens,
  amountPico: row.amount_pico,
});

/** [from, to) widened to the minutes that it touches. */
const wholeMinutes = (fromMs: number, toMs: number) => ({
  from: new Date(toMinuteMs(fromMs)),
  to: new Date(toMinuteMs(toMs - 1) + 60_000),
});

interface WindowRow extends SumRow {
  readonly minute: Date | null;
  readonly ranks: readonly [p50: number, p95: number] | null;
}

/** Sums come from the minutes, which are few; only percentiles need the facts, and of them one column. */
async function window(
  db: ReadDb,
  organisation: OrganisationRef,
  fromMs: number,
  toMs: number,
): Promise<WindowSums[]> {
  const { from, to } = wholeMinutes(fromMs, toMs);
  const { rows } = await sql<WindowRow>`
    with sums as (
      select minute, ${SUMS} from usage_minutes
      where organisation_ref = ${organisation} and minute >= ${from} and minute < ${to}
      group by grouping sets ((minute), ())
    ), waits as (
      select date_bin('1 minute', started_at, 'epoch'::timestamptz) as minute, first_byte_ms from facts
      where organisation_ref = ${organisation} and started_at >= ${from} and started_at < ${to}
        and first_byte_ms >= 0
    ), ranked as (
      select minute, percentile_disc(array[0.5, 0.95]) within group (order by first_byte_ms) as ranks
      from waits group by grouping sets ((minute), ())
    )
    select sums.*, ranked.ranks from sums
    left join ranked on ranked.minute is not distinct from sums.minute
    order by sums.minute nulls first`.execute(db);
  return rows.map((row) => ({
    ...toSums(row),
    minuteMs: row.minute?.getTime() ?? null,
    firstByteP50Ms: row.ranks?.[0] ?? null,
    firstByteP95Ms: row.ranks?.[1] ?? null,
  }));
}

const REFS: Readonly<Record<Exclude<UsageDimension, "day">, string>> = {
  model: "model_version_ref",
  project: "project_ref",
  key: "key_ref",
  engine: "engine_ref",
};

const groupOf = ({ groupBy, timeZone }: UsageQuestion) =>
  groupBy === "day"
    ? sql`to_char(minute at time zone ${timeZone}::text, 'YYYY-MM-DD')`
    : sql`${sql.ref(REFS[groupBy])}::text`;

async function usage(
  db: ReadDb,
  organisation: OrganisationRef,
  question: UsageQuestion,
): Promise<UsageGroup[]> {
  const { from, to } = wholeMinutes(question.fromMs, question.toMs);
  try {
    const { rows } = await sql<SumRow & { readonly group: string }>`
      select ${groupOf(question)} as "group", ${SUMS} from usage_minutes
      where organisation_ref = ${organisation} and minute >= ${from} and minute < ${to}
      group by 1 order by 1`.execute(db);
    return rows.map((row) => ({ group: row.group, ...toSums(row) }));
  } catch (cause) {
    if (!isInvalidParameter(cause)) throw cause;
    const message = `timeZone: the database does not know ${question.timeZone}`;
    throw new Fault("request.invalid", { message, field: "timeZone", cause });
  }
}

export function openFactReader(all: Kysely<DB>): FactReader {
  const db: ReadDb = all.$pickTables<"facts" | "segments" | "usage_minutes">();
  return {
    page: (organisation, filter, after, limit) => page(db, organisation, filter, after, limit),
    request: (organisation, requestId) => request(db, organisation, requestId),
    window: (organisation, fromMs, toMs) => window(db, organisation, fromMs, toMs),
    usage: (organisation, question) => usage(db, organisation, question),
  };
}
