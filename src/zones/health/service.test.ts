import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Transaction } from "kysely";
import { seedTenant, type Tenant } from "../../billing/tenant.fixture.ts";
import type { DB } from "../../db/schema.gen.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { manualClock } from "../../kit/clock.ts";
import { asId } from "../../kit/id.ts";
import { seal } from "../../kit/secret.ts";
import { checkEngine, selectProbes } from "./service.ts";
import type { CheckedEngine } from "./types.ts";

const credentialKey = new Uint8Array(32).fill(3);
const clock = manualClock();
let database: TestDatabase;
let acme: Tenant;
let rival: Tenant;
let status = 200;
const bearers: (string | null)[] = [];
const upstream = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: (request) => {
    bearers.push(request.headers.get("authorization"));
    return Response.json({ data: [{ id: "a" }] }, { status });
  },
});

beforeAll(async () => {
  database = await openTestDatabase();
  acme = await seedTenant(database, "acme");
  rival = await seedTenant(database, "rival");
});
afterAll(async () => {
  await upstream.stop(true);
  await database.close();
});

const inTransaction = <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
  database.db.transaction().execute(work);
const check = (change: Partial<CheckedEngine> = {}) =>
  checkEngine(
    { inTransaction, clock, credentialKey },
    {
      id: asId(acme.engineId),
      organisationId: acme.organisationId,
      baseUrl: `${upstream.url.origin}/v1`,
      allowPrivateAddress: true,
      credentialSealed: null,
      ...change,
    },
  );
const probesOf = ({ organisationId }: Tenant) =>
  inTransaction((trx) => selectProbes(trx, organisationId));
const sealedFor = (id: string, text: string) =>
  seal(credentialKey, id, new TextEncoder().encode(text));

test("the latest probe replaces the one before, and belongs to its organisation", async () => {
  await check();
  clock.advance(10_000);
  status = 503;
  await check();
  status = 200;
  const probes = await probesOf(acme);
  expect([...probes.values()]).toEqual([
    {
      engineId: asId(acme.engineId),
      ok: false,
      detail: "answers 503",
      latencyMs: expect.any(Number),
      at: new Date(clock.nowMs()),
    },
  ]);
  expect((await probesOf(rival)).size).toBe(0);
});

test("an engine is asked with its own credential, or with none", async () => {
  bearers.splice(0);
  await check();
  await check({ credentialSealed: sealedFor(acme.engineId, "sk-1") });
  expect(bearers).toEqual([null, "Bearer sk-1"]);
});

test("a credential that does not open is never sent: the engine is down and says why", async () => {
  bearers.splice(0);
  const { judged } = await check({ credentialSealed: sealedFor("engine_other", "sk-1") });
  expect(judged).toMatchObject({ ok: false, code: "upstream.credential" });
  expect(bearers).toEqual([]);
  const [probe] = (await probesOf(acme)).values();
  expect(probe).toMatchObject({ ok: false, detail: "the stored credential cannot be opened" });
});

test("an address that has become private since is not called", async () => {
  bearers.splice(0);
  const { judged } = await check({ allowPrivateAddress: false });
  expect(judged).toMatchObject({ ok: false, code: "upstream.forbidden_address" });
  expect(bearers).toEqual([]);
});
