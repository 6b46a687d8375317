// SQL of price versions and their lines. Rows in, rows out; nothing here is ever updated or deleted.

import { sql, type Kysely } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { asId, type OrganisationId, type PriceVersionId } from "../../kit/id.ts";
import type { Meter } from "../metering/types.ts";
import type { NewPrice, PriceTerm, PriceVersion } from "./types.ts";

type PriceDb = Kysely<Pick<DB, "price_versions" | "price_lines">>;

export interface PriceStore {
  /** Newest first within a model; of one model, or of all. */
  selectVersions(organisationId: OrganisationId, model?: string): Promise<PriceVersion[]>;
  insertVersions(
    organisationId: OrganisationId,
    prices: readonly (NewPrice & { readonly id: PriceVersionId })[],
    at: Date,
  ): Promise<void>;
  /** For rating, across tenants: facts name their version by ref. */
  selectTerms(refs: readonly number[]): Promise<Map<number, PriceTerm>>;
}

interface VersionRow {
  readonly id: string;
  readonly ref: number;
  readonly organisation_id: string;
  readonly model: string;
  readonly effective_from: Date;
  readonly source: string;
  readonly lines: Readonly<Record<string, string>> | null;
}

const toVersion = (row: VersionRow): PriceVersion => ({
  id: asId(row.id),
  ref: row.ref,
  organisationId: asId(row.organisation_id),
  model: row.model,
  effectiveFromMs: row.effective_from.getTime(),
  source: row.source,
  // Only insertVersions writes lines, and it takes its meters from METERS.
  picoPerUnit: Object.fromEntries(
    Object.entries(row.lines ?? {}).map(([meter, pico]) => [meter, BigInt(pico)]),
  ) as Partial<Record<Meter, bigint>>,
});

/** The lines of a version as one object; amounts as text, because JSON numbers are floats here. */
const versionColumns = [
  "id",
  "ref",
  "organisation_id",
  "model",
  "effective_from",
  "source",
] as const;
const lines = sql<Record<string, string> | null>`(
  select json_object_agg(line.meter, line.pico_per_unit::text)
  from price_lines line where line.price_version_id = price_versions.id)`.as("lines");

async function insertVersions(
  db: PriceDb,
  organisationId: OrganisationId,
  prices: readonly (NewPrice & { readonly id: PriceVersionId })[],
  at: Date,
): Promise<void> {
  const versions = prices.map((price) => ({
    id: price.id,
    organisation_id: organisationId,
    model: price.model,
    effective_from: new Date(price.effectiveFromMs),
    source: price.source,
    created_at: at,
  }));
  const rows = prices.flatMap((price) =>
    Object.entries(price.picoPerUnit).map(([meter, pico]) => ({
      price_version_id: price.id,
      organisation_id: organisationId,
      meter,
      pico_per_unit: String(pico),
    })),
  );
  // As one JSON parameter each: a file of 10,000 prices has more values than a statement may have parameters.
  await sql`insert into price_versions (id, organisation_id, model, effective_from, source, created_at)
    select id, organisation_id, model, effective_from, source, created_at
    from json_populate_recordset(null::price_versions, ${JSON.stringify(versions)}::json)`.execute(
    db,
  );
  await sql`insert into price_lines
    select * from json_populate_recordset(null::price_lines, ${JSON.stringify(rows)}::json)`.execute(
    db,
  );
}

async function selectTerms(db: PriceDb, refs: readonly number[]): Promise<Map<number, PriceTerm>> {
  if (refs.length === 0) return new Map();
  const rows = await db
    .selectFrom("price_versions")
    .select([...versionColumns, lines])
    .select(
      sql<Date | null>`(
        select min(later.effective_from) from price_versions later
        where later.organisation_id = price_versions.organisation_id
          and later.model = price_versions.model
          and later.effective_from > price_versions.effective_from)`.as("superseded_at"),
    )
    .where("ref", "in", refs)
    .execute();
  return new Map(
    rows.map((row) => [
      row.ref,
      { version: toVersion(row), supersededAtMs: row.superseded_at?.getTime() ?? null },
    ]),
  );
}

export function openPriceStore(all: Kysely<DB>): PriceStore {
  const db: PriceDb = all.$pickTables<"price_versions" | "price_lines">();
  return {
    selectVersions: async (organisationId, model) => {
      let query = db
        .selectFrom("price_versions")
        .select([...versionColumns, lines])
        .where("organisation_id", "=", organisationId);
      if (model !== undefined) query = query.where("model", "=", model);
      const rows = await query.orderBy("model").orderBy("effective_from", "desc").execute();
      return rows.map(toVersion);
    },
    insertVersions: (organisationId, prices, at) => insertVersions(db, organisationId, prices, at),
    selectTerms: (refs) => selectTerms(db, refs),
  };
}
