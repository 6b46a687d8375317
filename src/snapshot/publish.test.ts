import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openTestDatabase, type TestDatabase } from "../db/test-database.ts";
import { manualClock } from "../kit/clock.ts";
import { asId } from "../kit/id.ts";
import { silentLog } from "../kit/log.ts";
import { openSnapshotHolder } from "./load.ts";
import { openPublisher, type Publisher } from "./publish.ts";
import { signingKeysFrom } from "./sign.ts";
import { markSnapshotDirty } from "./store.ts";

const keys = signingKeysFrom(new Uint8Array(32).fill(9));
const organisationId = asId<"org">("org_1");
const clock = manualClock(Date.now());
let failures = 0;
let database: TestDatabase;
let publisher: Publisher;

async function seed(): Promise<void> {
  const { pool } = database;
  const now = new Date();
  await pool.query(
    "insert into firms (id, name, signing_public_key, signing_private_sealed, created_at) values ('firm_1', 'F', 'p', '\\x00', $1)",
    [now],
  );
  await pool.query(
    "insert into organisations (id, firm_id, name, jurisdiction, created_at) values ('org_1', 'firm_1', 'O', 'DE', $1)",
    [now],
  );
  await pool.query(
    "insert into projects (id, organisation_id, name, tokens_per_minute, monthly_spend_limit_pico, created_at) values ('proj_1', 'org_1', 'P', 5000000000, 90000000000000000000, $1)",
    [now],
  );
  await insertKey("key_live", "live", null);
  await insertKey("key_admin", "admin", null);
  await insertKey("key_gone", "live", new Date(Date.now() - 2 * 86_400_000));
  await pool.query(
    "insert into zones (id, organisation_id, name, region, jurisdiction, created_at) values ('zone_1', 'org_1', 'z', 'r', 'DE', $1)",
    [now],
  );
  await pool.query(
    "insert into pools (id, organisation_id, zone_id, name, accelerator, created_at) values ('pool_1', 'org_1', 'zone_1', 'p', 'cpu', $1)",
    [now],
  );
  await pool.query(
    "insert into engines (id, organisation_id, pool_id, name, kind, base_url, credential_sealed, created_at) values ('engine_1', 'org_1', 'pool_1', 'e', 'openai', 'http://127.0.0.1:1/v1', '\\x0102', $1)",
    [now],
  );
  await pool.query(
    "insert into models (id, organisation_id, name, owned_by, created_at) values ('model_1', 'org_1', 'tiny', 'us', $1)",
    [now],
  );
  await pool.query(
    "insert into model_versions (id, organisation_id, model_id, version, context_tokens, created_at) values ('version_1', 'org_1', 'model_1', '1', 512, $1)",
    [now],
  );
  await pool.query(
    "insert into deployments (engine_id, model_version_id, organisation_id, upstream_model, created_at) values ('engine_1', 'version_1', 'org_1', 'tiny-q8', $1)",
    [now],
  );
  await pool.query(
    "insert into price_versions (id, organisation_id, model, effective_from, created_at) values ('price_1', 'org_1', 'tiny', '2026-01-01Z', $1)",
    [now],
  );
  await pool.query(
    "insert into price_lines (price_version_id, organisation_id, meter, pico_per_unit) values ('price_1', 'org_1', 'input_tokens', 2500000)",
  );
}

async function insertKey(id: string, kind: string, revokedAt: Date | null): Promise<void> {
  const role = kind === "admin" ? "owner" : null;
  const text =
    "insert into keys (id, organisation_id, project_id, kind, role, name, hmac, revoked_at, created_at) values ($1, 'org_1', 'proj_1', $2, $3, 'k', '\\xab', $4, now())";
  await database.pool.query(text, [id, kind, role, revokedAt]);
}

beforeAll(async () => {
  database = await openTestDatabase();
  await seed();
  publisher = await openPublisher({
    db: database.db,
    privateKey: keys.privateKey,
    clock,
    log: silentLog,
    failures: { add: () => void (failures += 1) },
    ageMaxMs: 60_000,
  });
}, 60_000);

afterAll(async () => {
  await publisher.close();
  await database.close();
});

async function holderOfLatest() {
  const manifest = publisher.latest();
  if (!manifest) throw new Error("nothing was published");
  const holder = await openSnapshotHolder({
    folder: await mkdtemp(join(tmpdir(), "publish-")),
    publicKey: keys.publicKey,
    clock,
    log: silentLog,
    fetchSection: async (digest) => (await publisher.section(digest)) ?? new Uint8Array(),
  });
  expect(await holder.offer(manifest)).toBe(true);
  return holder;
}

test("a gateway reads from the published bytes what the rows say", async () => {
  const reader = (await holderOfLatest()).current();
  const tenant = reader?.tenantOf(asId<"proj">("proj_1"));
  expect(tenant?.limits.tokensPerMinute).toBe(5_000_000_000);
  expect(tenant?.monthlySpendLimitPico).toBe(90_000_000_000_000_000_000n);
  expect(tenant?.jurisdiction).toBe("DE");
  const model = reader?.model(organisationId, "tiny");
  expect(model?.deployments).toEqual([
    { engineId: asId<"engine">("engine_1"), upstreamModel: "tiny-q8" },
  ]);
  expect(model?.contextTokens).toBe(512);
  expect(reader?.engine(asId<"engine">("engine_1"))?.credentialSealed).toBe("AQI=");
  expect(reader?.priceAt(organisationId, "tiny", clock.nowMs())?.picoPerUnit).toEqual({
    input_tokens: 2_500_000n,
  });
});

test("admin keys and keys long revoked never reach a gateway", async () => {
  const reader = (await holderOfLatest()).current();
  expect(reader?.keyById(asId<"key">("key_live"))?.hmac).toBe("ab");
  expect(reader?.keyById(asId<"key">("key_admin"))).toBeUndefined();
  expect(reader?.keyById(asId<"key">("key_gone"))).toBeUndefined();
});

test("nothing is published while nothing changed; a change is, with a higher number", async () => {
  expect(await publisher.poll()).toBe(false);
  const before = publisher.latest()?.sequence ?? 0;
  await database.db.transaction().execute(async (trx) => {
    await trx
      .updateTable("keys")
      .set({ revoked_at: new Date() })
      .where("id", "=", "key_live")
      .execute();
    await markSnapshotDirty(trx);
  });
  expect(await publisher.poll()).toBe(true);
  expect(publisher.latest()?.sequence ?? 0).toBeGreaterThan(before);
  expect((await holderOfLatest()).current()?.keyById(asId<"key">("key_live"))?.revoked).toBe(true);
});

test("a snapshot is published anew before it grows old, with the same sections", async () => {
  const before = publisher.latest();
  clock.advance(20_000);
  expect(await publisher.poll()).toBe(true);
  expect(publisher.latest()?.sections).toEqual(before?.sections as never);
});

test("a failed compile keeps the old snapshot and raises the alarm", async () => {
  const before = publisher.latest()?.sequence;
  await database.pool.query("alter table price_lines rename to price_lines_away");
  await database.db.transaction().execute((trx) => markSnapshotDirty(trx));
  expect(await publisher.poll()).toBe(false);
  expect(failures).toBe(1);
  expect(publisher.latest()?.sequence).toBe(before ?? 0);
  await database.pool.query("alter table price_lines_away rename to price_lines");
  expect(await publisher.poll()).toBe(true);
});

test("only the newest manifests and their sections are kept", async () => {
  for (let index = 0; index < 5; index += 1) {
    await database.db.transaction().execute((trx) => markSnapshotDirty(trx));
    await publisher.poll();
  }
  const { rows } = await database.pool.query(
    "select count(*)::int as count from snapshot_manifests",
  );
  expect(rows[0]).toEqual({ count: 3 });
});
