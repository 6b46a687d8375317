import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Transaction } from "kysely";
import { openAudit } from "../../audit/log/service.ts";
import { seedTenant, type Tenant } from "../../billing/tenant.fixture.ts";
import type { DB } from "../../db/schema.gen.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { systemClock, systemDice } from "../../kit/clock.ts";
import { asId, type EngineId } from "../../kit/id.ts";
import { ensureVersion } from "../../models/registry/service.ts";
import { markSnapshotDirty } from "../../snapshot/store.ts";
import { openCredential } from "./credential.rules.ts";
import { ensureDeployment, ensureEmbedded, findEmbedded } from "./embedded.service.ts";

const ids = { clock: systemClock, dice: systemDice };
const deps = {
  ...ids,
  audit: openAudit(systemClock, systemDice),
  markSnapshotDirty,
  credentialKey: new Uint8Array(32).fill(1),
};
const WISH = { name: "embedded", baseUrl: "http://127.0.0.1:4120/v1", bearer: "first" };
let database: TestDatabase;
let acme: Tenant;
let rival: Tenant;

beforeAll(async () => {
  database = await openTestDatabase();
  acme = await seedTenant(database, "acme");
  rival = await seedTenant(database, "rival");
});
afterAll(() => database.close());

const inTransaction = <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
  database.db.transaction().execute(work);
const ensure = (wish = WISH) =>
  inTransaction((trx) => ensureEmbedded(deps, trx, acme.organisationId, wish));
const stored = (id: EngineId) =>
  database.db.selectFrom("engines").selectAll().where("id", "=", id).executeTakeFirstOrThrow();

/** How many changes of the snapshot and rows of the audit log the work leaves. */
async function tracesOf(work: () => Promise<unknown>) {
  const read = async () => {
    const { changed } = await database.db
      .selectFrom("snapshot_dirty")
      .select("changed")
      .executeTakeFirstOrThrow();
    const audited = await database.db.selectFrom("audit_outbox").select("id").execute();
    return { changed: Number(changed), audited: audited.length };
  };
  const before = await read();
  await work();
  const after = await read();
  return { changed: after.changed - before.changed, audited: after.audited - before.audited };
}

test("made at the first start, found at the next, changed only when port or key did; an operator's switch stays", async () => {
  expect(await inTransaction((trx) => findEmbedded(trx, acme.organisationId))).toBeUndefined();
  expect(await tracesOf(ensure)).toEqual({ changed: 1, audited: 1 });
  const id = await ensure();
  const place = await database.db
    .selectFrom("engines")
    .innerJoin("pools", "pools.id", "engines.pool_id")
    .innerJoin("zones", "zones.id", "pools.zone_id")
    .select(["zones.name as zone", "region", "pools.name as pool", "accelerator", "kind"])
    .where("engines.id", "=", id)
    .execute();
  expect(place).toEqual([
    { zone: "local", region: "local", pool: "cpu", accelerator: "cpu", kind: "embedded" },
  ]);
  expect(await tracesOf(ensure)).toEqual({ changed: 0, audited: 0 });

  await database.db.updateTable("engines").set({ enabled: false }).where("id", "=", id).execute();
  const moved = { ...WISH, baseUrl: "http://127.0.0.1:4999/v1" };
  expect(await tracesOf(() => ensure(moved))).toEqual({ changed: 1, audited: 1 });
  expect(await tracesOf(() => ensure({ ...moved, bearer: "second" }))).toEqual({
    changed: 1,
    audited: 1,
  });
  const row = await stored(id);
  expect(row).toMatchObject({ base_url: moved.baseUrl, enabled: false, name: "embedded" });
  const sealed = row.credential_sealed ?? new Uint8Array();
  expect(openCredential(deps.credentialKey, id, sealed)).toBe("second");
  expect(await inTransaction((trx) => findEmbedded(trx, acme.organisationId))).toBe(id);
  expect(await inTransaction((trx) => findEmbedded(trx, rival.organisationId))).toBeUndefined();
});

const deploy = (tenant: Tenant, engineId: EngineId, upstreamModel: string, version = "1") =>
  inTransaction(async (trx) => {
    const wish = { name: "tiny", ownedBy: "us", version, licence: "Apache-2.0" };
    const facts = { contextTokens: 512, outputTokensMax: null, artifactDigest: null };
    const modelVersionId = await ensureVersion(deps, trx, acme.organisationId, {
      ...wish,
      ...facts,
    });
    await ensureDeployment(deps, trx, tenant.organisationId, {
      engineId,
      modelVersionId,
      upstreamModel,
    });
  });

test("a deployment is written once, and again only under another name", async () => {
  const id = await ensure();
  await deploy(acme, id, "tiny");
  expect((await tracesOf(() => deploy(acme, id, "tiny"))).changed).toBe(0);
  expect((await tracesOf(() => deploy(acme, id, "tiny-v2"))).changed).toBe(1);
  const rows = await database.db
    .selectFrom("deployments")
    .select("upstream_model")
    .where("engine_id", "=", id)
    .execute();
  expect(rows).toEqual([{ upstream_model: "tiny-v2" }]);
});

test("a newer version under the same name takes the older one's place at this engine", async () => {
  const id = await ensure();
  await deploy(acme, id, "tiny", "1");
  expect((await tracesOf(() => deploy(acme, id, "tiny", "2"))).changed).toBe(2);
  const rows = await database.db
    .selectFrom("deployments")
    .innerJoin("model_versions", "model_versions.id", "deployments.model_version_id")
    .select(["upstream_model", "version"])
    .where("engine_id", "=", id)
    .execute();
  expect(rows).toEqual([{ upstream_model: "tiny", version: "2" }]);
});

test("nothing is deployed on another organisation's engine, nor on one that is not there", async () => {
  const id = await ensure();
  for (const [tenant, engineId] of [
    [rival, id],
    [acme, asId<"engine">("engine_none")],
  ] as const)
    await expect(deploy(tenant, engineId, "tiny")).rejects.toMatchObject({
      code: "entity.not_found",
    });
});
