// The compiler's read room: joins the tables it needs inside one REPEATABLE READ transaction, and keeps published manifests.
// Invariant: reads across all tenants, writes nothing but snapshot_* tables; numeric columns arrive as bigint, times as Date.

import { sql, type Kysely, type Transaction } from "kysely";
import type { DB } from "../db/schema.gen.ts";
import type { Meter } from "../billing/metering/types.ts";
import type { PriceVersion } from "../billing/prices/types.ts";
import { asId } from "../kit/id.ts";
import type { DeploymentRow, SnapshotRows, VersionRow } from "./rows.types.ts";
import type { SnapshotEngine, SnapshotKey, SnapshotManifest, SnapshotTenant } from "./types.ts";

type Read = Transaction<DB>;

export interface Published {
  readonly manifest: SnapshotManifest;
  /** The value of snapshot_dirty.changed that the manifest covers. */
  readonly changed: bigint;
}

async function selectTenants(trx: Read): Promise<SnapshotTenant[]> {
  const rows = await trx
    .selectFrom("projects")
    .innerJoin("organisations", "organisations.id", "projects.organisation_id")
    .innerJoin("firms", "firms.id", "organisations.firm_id")
    .select([
      "firms.id as firm",
      "firms.ref as firm_ref",
      "organisations.id as organisation",
      "organisations.ref as organisation_ref",
    ])
    .select(["organisations.jurisdiction", "home_region", "home_lane", "home_cell"])
    .select([
      "projects.id as project",
      "projects.ref as project_ref",
      "projects.name as project_name",
    ])
    .select([
      "requests_per_minute",
      "tokens_per_minute",
      "concurrent_streams",
      "monthly_spend_limit_pico",
    ])
    .orderBy("projects.ref")
    .execute();
  return rows.map((row) => ({
    firmId: asId<"firm">(row.firm),
    firmRef: row.firm_ref,
    organisationId: asId<"org">(row.organisation),
    organisationRef: row.organisation_ref,
    projectId: asId<"proj">(row.project),
    projectRef: row.project_ref,
    projectName: row.project_name,
    jurisdiction: row.jurisdiction,
    home: { region: row.home_region, lane: row.home_lane, cell: row.home_cell },
    limits: toLimits(row),
    monthlySpendLimitPico: row.monthly_spend_limit_pico,
  }));
}

interface LimitColumns {
  readonly requests_per_minute: number | null;
  readonly tokens_per_minute: bigint | null;
  readonly concurrent_streams: number | null;
}

const toLimits = (row: LimitColumns) => ({
  requestsPerMinute: row.requests_per_minute,
  tokensPerMinute: row.tokens_per_minute === null ? null : Number(row.tokens_per_minute),
  concurrentStreams: row.concurrent_streams,
});

/** Revoked keys stay for a day, so that their holders read "revoked" instead of "unknown". Admin keys never leave control. */
async function selectKeys(trx: Read): Promise<SnapshotKey[]> {
  const rows = await trx
    .selectFrom("keys")
    .selectAll()
    .where("kind", "!=", "admin")
    .where((where) =>
      where.or([
        where("revoked_at", "is", null),
        where("revoked_at", ">", sql<Date>`now() - interval '1 day'`),
      ]),
    )
    .where((where) =>
      where.or([
        where("expires_at", "is", null),
        where("expires_at", ">", sql<Date>`now() - interval '1 day'`),
      ]),
    )
    .orderBy("ref")
    .execute();
  return rows.map((row) => ({
    id: asId<"key">(row.id),
    ref: row.ref,
    projectId: asId<"proj">(row.project_id),
    // The check constraint on keys.kind is this very list.
    kind: row.kind as SnapshotKey["kind"],
    hmac: Buffer.from(row.hmac).toString("hex"),
    limits: toLimits(row),
    expiresAtMs: row.expires_at?.getTime() ?? null,
    revoked: row.revoked_at !== null,
  }));
}

async function selectVersions(trx: Read): Promise<VersionRow[]> {
  const rows = await trx
    .selectFrom("model_versions as version")
    .innerJoin("models as model", "model.id", "version.model_id")
    .select([
      "version.id",
      "version.ref",
      "version.version",
      "version.context_tokens",
      "version.output_tokens_max",
      "version.created_at",
    ])
    .select([
      "model.id as model_id",
      "model.organisation_id",
      "model.name",
      "model.owned_by",
      "model.created_at as model_created_at",
    ])
    .orderBy("version.ref")
    .execute();
  return rows.map((row) => ({
    id: asId<"version">(row.id),
    modelId: asId<"model">(row.model_id),
    organisationId: asId<"org">(row.organisation_id),
    name: row.name,
    ownedBy: row.owned_by,
    modelVersionRef: row.ref,
    version: row.version,
    contextTokens: row.context_tokens,
    outputTokensMax: row.output_tokens_max,
    createdAtMs: row.created_at.getTime(),
    modelCreatedAtMs: row.model_created_at.getTime(),
  }));
}

async function selectEngines(
  trx: Read,
): Promise<(SnapshotEngine & { readonly enabled: boolean })[]> {
  const rows = await trx
    .selectFrom("engines as engine")
    .innerJoin("pools as pool", "pool.id", "engine.pool_id")
    .innerJoin("zones as zone", "zone.id", "pool.zone_id")
    .select([
      "engine.id",
      "engine.ref",
      "engine.name",
      "engine.kind",
      "engine.base_url",
      "engine.credential_sealed",
    ])
    .select(["engine.allow_private_address", "engine.enabled"])
    .select([
      "zone.id as zone_id",
      "zone.ref as zone_ref",
      "zone.name as zone_name",
      "zone.jurisdiction",
    ])
    .where("engine.removed_at", "is", null)
    .orderBy("engine.ref")
    .execute();
  return rows.map((row) => ({
    id: asId<"engine">(row.id),
    ref: row.ref,
    name: row.name,
    // The check constraint on engines.kind is this very list.
    kind: row.kind as SnapshotEngine["kind"],
    baseUrl: row.base_url,
    credentialSealed:
      row.credential_sealed === null ? null : Buffer.from(row.credential_sealed).toString("base64"),
    allowPrivateAddress: row.allow_private_address,
    enabled: row.enabled,
    zoneId: asId<"zone">(row.zone_id),
    zoneRef: row.zone_ref,
    zoneName: row.zone_name,
    zoneJurisdiction: row.jurisdiction,
  }));
}

async function selectDeployments(trx: Read): Promise<DeploymentRow[]> {
  const rows = await trx
    .selectFrom("deployments")
    .select(["engine_id", "model_version_id", "upstream_model"])
    .orderBy("engine_id")
    .execute();
  return rows.map((row) => ({
    engineId: asId<"engine">(row.engine_id),
    modelVersionId: asId<"version">(row.model_version_id),
    upstreamModel: row.upstream_model,
  }));
}

async function selectPrices(trx: Read): Promise<PriceVersion[]> {
  const versions = await trx.selectFrom("price_versions").selectAll().orderBy("ref").execute();
  const lines = await trx
    .selectFrom("price_lines")
    .select(["price_version_id", "meter", "pico_per_unit"])
    .execute();
  const linesOf = Map.groupBy(lines, (line) => line.price_version_id);
  return versions.map((row) => ({
    id: asId<"price">(row.id),
    ref: row.ref,
    organisationId: asId<"org">(row.organisation_id),
    model: row.model,
    effectiveFromMs: row.effective_from.getTime(),
    source: row.source,
    // Meters were checked against METERS when the price was written.
    picoPerUnit: Object.fromEntries(
      (linesOf.get(row.id) ?? []).map((line) => [line.meter, line.pico_per_unit]),
    ) as Partial<Record<Meter, bigint>>,
  }));
}

export async function selectRows(trx: Read): Promise<SnapshotRows> {
  return {
    tenants: await selectTenants(trx),
    keys: await selectKeys(trx),
    versions: await selectVersions(trx),
    engines: await selectEngines(trx),
    deployments: await selectDeployments(trx),
    prices: await selectPrices(trx),
  };
}

/** Marks that gateways must see a change; called in the transaction that makes it. */
export async function markSnapshotDirty(trx: Kysely<DB>): Promise<void> {
  await trx
    .updateTable("snapshot_dirty")
    .set((change) => ({ changed: change("changed", "+", 1n) }))
    .execute();
}

/** The number of changes so far; a manifest remembers the number that it covers. */
export async function selectChanged(db: Kysely<DB>): Promise<bigint> {
  const row = await db.selectFrom("snapshot_dirty").select("changed").executeTakeFirstOrThrow();
  return row.changed;
}

export async function nextSequence(trx: Read): Promise<number> {
  const { rows } = await sql<{
    value: bigint;
  }>`select nextval('snapshot_sequence') as value`.execute(trx);
  return Number(rows[0]?.value);
}

export async function insertManifest(
  trx: Read,
  published: Published,
  sections: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const { manifest, changed } = published;
  const values = [...sections].map(([digest, body]) => ({ digest, body: Buffer.from(body) }));
  await trx
    .insertInto("snapshot_sections")
    .values(values)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  await trx
    .insertInto("snapshot_manifests")
    .values({
      sequence: String(manifest.sequence),
      changed,
      manifest: JSON.stringify(manifest),
      compiled_at: new Date(manifest.compiledAtMs),
    })
    .execute();
}

/** Keeps the newest `keep` manifests and the sections that they name. */
export async function deleteOld(trx: Read, keep: number): Promise<void> {
  await sql`delete from snapshot_manifests where sequence not in (select sequence from snapshot_manifests order by sequence desc limit ${keep})`.execute(
    trx,
  );
  await sql`delete from snapshot_sections s where not exists (
    select 1 from snapshot_manifests m, jsonb_each_text(m.manifest -> 'sections') e where e.value = s.digest)`.execute(
    trx,
  );
}

export async function selectLatest(db: Kysely<DB>): Promise<Published | undefined> {
  const row = await db
    .selectFrom("snapshot_manifests")
    .select(["manifest", "changed"])
    .orderBy("sequence", "desc")
    .limit(1)
    .executeTakeFirst();
  // Only insertManifest writes this column.
  return row && { manifest: row.manifest as unknown as SnapshotManifest, changed: row.changed };
}

export async function selectSection(
  db: Kysely<DB>,
  digest: string,
): Promise<Uint8Array | undefined> {
  const row = await db
    .selectFrom("snapshot_sections")
    .select("body")
    .where("digest", "=", digest)
    .executeTakeFirst();
  return row && new Uint8Array(row.body);
}
