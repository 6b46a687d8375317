import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { createAuditService, openAudit } from "../../audit/log/service.ts";
import { openLedger } from "../../billing/ledger/posting.fixture.ts";
import { readPriceTerms } from "../../billing/prices/service.ts";
import { FACT_AT, fakeJournal, seedTenant, type Tenant } from "../../billing/tenant.fixture.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { openAsk, someone } from "../../http/ask.fixture.ts";
import { manualClock, systemDice } from "../../kit/clock.ts";
import { statusRoutes } from "./routes.ts";
import { createStatusService } from "./service.ts";
import { openStatusStore } from "./store.ts";
import { Checklist, SystemInfo } from "./types.ts";

let database: TestDatabase;
let ledger: ReturnType<typeof openLedger>;
let ask: ReturnType<typeof openAsk>;
const clock = manualClock(Date.parse("2026-11-24T12:00:00Z"));
const audit = openAudit(clock, systemDice);

beforeAll(async () => {
  database = await openTestDatabase();
  ledger = openLedger(database, readPriceTerms);
  ask = openAsk(
    statusRoutes(
      createStatusService({
        setting: {
          version: "0.1.0",
          apiBaseUrl: "http://localhost:4100/v1",
          host: "127.0.0.1",
          tls: false,
          behindProxy: false,
          startedAt: new Date(clock.nowMs()),
        },
        clock,
        gateways: async () => [],
        ...openStatusStore(database.db),
      }),
    ),
  );
});
afterAll(() => database.close());

const record = (tenant: Tenant, action: string, details: Record<string, string> = {}) =>
  database.db.transaction().execute((trx) =>
    audit(trx, {
      organisationId: tenant.organisationId,
      actor: tenant.keyId,
      action,
      subject: tenant.keyId,
      details,
    }),
  );
const checklist = async (tenant: Tenant) => {
  const { status, body } = await ask("GET", "/checklist", {
    as: someone(tenant.organisationId, []),
  });
  expect(status).toBe(200);
  return Object.fromEntries(Checklist.parse(body).items.map(({ id, at }) => [id, at]));
};
const untouched = async (name: string) => {
  const tenant = await seedTenant(database, name);
  // The fixture's engine stands for the embedded one here.
  await database.pool.query("update engines set kind = 'embedded' where id = $1", [
    tenant.engineId,
  ]);
  return tenant;
};
const NOTHING = { "signed-in": null, "first-call": null, "upstream-added": null, "key-made": null };

describe("GET /checklist", () => {
  test("401: nobody is signed in", async () => {
    expect(await ask("GET", "/checklist")).toMatchObject({ status: 401 });
  });

  test("200: a new organisation has everything before it, its seeded key and engine notwithstanding", async () => {
    const tenant = await untouched("new");
    await record(tenant, "key.create", { kind: "admin" });
    expect(await checklist(tenant)).toEqual(NOTHING);
  });

  test("200: each step is as old as the first time it was taken", async () => {
    const tenant = await untouched("busy");
    await record(tenant, "session.create");
    clock.advance(60_000);
    await record(tenant, "session.create");
    await record(tenant, "key.create", { kind: "live" });
    await ledger.post(fakeJournal(), [tenant.fact({ startedAtMs: FACT_AT + 5 }), tenant.fact()]);
    await database.pool.query(
      `insert into engines (id, organisation_id, pool_id, name, kind, base_url, created_at, removed_at)
       select id || 'b', organisation_id, pool_id, 'theirs', 'openai', base_url, '2026-11-24T11:00:00Z', now()
       from engines where id = $1`,
      [tenant.engineId],
    );
    expect(await checklist(tenant)).toEqual({
      "signed-in": "2026-11-24T12:00:00.000Z",
      "first-call": "2026-11-24T10:15:30.500Z",
      "upstream-added": "2026-11-24T11:00:00.000Z",
      "key-made": "2026-11-24T12:01:00.000Z",
    });
  });

  test("200: numbering the audit log changes nothing of it", async () => {
    const tenant = await untouched("numbered");
    await record(tenant, "key.create", { kind: "live" });
    await record(tenant, "session.create");
    const before = await checklist(tenant);
    expect(before).not.toEqual(NOTHING);
    const { privateKey } = generateKeyPairSync("ed25519");
    const { inTransaction } = ledger.deps;
    await createAuditService({ inTransaction, clock, privateKey }).sequence();
    const { rowCount } = await database.pool.query("select from audit_outbox");
    expect([rowCount, await checklist(tenant)]).toEqual([0, before]);
  });

  test("200: what others did ticks nothing", async () => {
    expect(await checklist(await untouched("onlooker"))).toEqual(NOTHING);
  });
});

describe("GET /system", () => {
  const system = async () => {
    const { status, body } = await ask("GET", "/system", {
      as: someone((await untouched("system")).organisationId, ["system.read"]),
    });
    expect(status).toBe(200);
    return SystemInfo.parse(body);
  };

  test("401 and 403: it needs a credential and system.read", async () => {
    expect(await ask("GET", "/system")).toMatchObject({ status: 401 });
    const { organisationId } = await seedTenant(database, "reader");
    expect(
      await ask("GET", "/system", { as: someone(organisationId, ["keys.read"]) }),
    ).toMatchObject({
      status: 403,
      body: { error: { code: "permission.denied" } },
    });
  });

  test("200: applied and pending migrations, and the newest snapshot once there is one", async () => {
    const before = await system();
    expect(before.migrations.applied).toContain("0001_identity_orgs");
    expect([before.migrations.pending, before.snapshot]).toEqual([[], null]);

    const last = before.migrations.applied.at(-1) ?? "";
    await database.pool.query("delete from migrations where name = $1", [`${last}.sql`]);
    await database.pool.query(
      "insert into snapshot_manifests (sequence, changed, manifest, compiled_at) values (9, 1, '{}', '2026-11-24T11:59:00Z'), (10, 2, '{}', '2026-11-24T11:59:30Z')",
    );
    const after = await system();
    expect(after.migrations.pending).toEqual([last]);
    expect(after.migrations.applied).not.toContain(last);
    expect(after.snapshot).toEqual({ sequence: 10, compiledAt: "2026-11-24T11:59:30.000Z" });
  });
});
