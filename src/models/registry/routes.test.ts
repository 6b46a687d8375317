import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Transaction } from "kysely";
import { seedTenant, type Tenant } from "../../billing/tenant.fixture.ts";
import type { DB } from "../../db/schema.gen.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { createHttpHandler } from "../../http/server.ts";
import type { Permission } from "../../http/types.ts";
import { manualClock, systemDice } from "../../kit/clock.ts";
import { Fault } from "../../kit/fault.ts";
import { asId, type ModelVersionId } from "../../kit/id.ts";
import { silentLog } from "../../kit/log.ts";
import { modelRoutes } from "./routes.ts";
import { createRegistryService, ensureVersion, ensureVersions } from "./service.ts";
import type { ModelList, VersionWish } from "./types.ts";

let database: TestDatabase;
let acme: Tenant;
let rival: Tenant;
let dirty = 0;
const clock = manualClock();
const deps = {
  clock,
  dice: systemDice,
  markSnapshotDirty: async () => {
    dirty += 1;
  },
};
const serving = new Map<ModelVersionId, string[]>();

beforeAll(async () => {
  database = await openTestDatabase();
  acme = await seedTenant(database, "acme");
  rival = await seedTenant(database, "rival");
});
afterAll(() => database.close());

const inTransaction = <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
  database.db.transaction().execute(work);
const wish = (name: string, change: Partial<VersionWish> = {}): VersionWish => ({
  name,
  ownedBy: "us",
  version: "1",
  contextTokens: null,
  outputTokensMax: null,
  artifactDigest: null,
  licence: "",
  ...change,
});
const ensure = (name: string, change: Partial<VersionWish> = {}, { organisationId } = acme) =>
  inTransaction((trx) => ensureVersion(deps, trx, organisationId, wish(name, change)));

const service = createRegistryService({
  inTransaction,
  clock,
  engineNames: async () => serving,
  pricedNames: async () => new Set(["acme-model", "tiny"]),
});
const handle = createHttpHandler({
  host: "127.0.0.1",
  port: 0,
  portFlag: "--port",
  routes: modelRoutes(service),
  authenticate: async (request) => {
    const [, name, permission] = (request.headers.get("authorization") ?? "").split(" ");
    const tenant = name === "acme" ? acme : rival;
    if (!permission) throw new Fault("key.missing", { message: "no key" });
    return {
      firmId: asId("firm_1"),
      organisationId: tenant.organisationId,
      projectId: asId(tenant.projectId),
      keyId: asId(tenant.keyId),
      role: "developer",
      permissions: new Set([permission as Permission]),
      via: "key",
    };
  },
  makeRequestId: () => "req_1",
  log: silentLog,
});
const list = (who: string) =>
  handle(
    new Request("http://control/api/v1/models", { headers: { authorization: `Bearer ${who}` } }),
  );
const itemsOf = async (who: string): Promise<ModelList["items"]> =>
  (JSON.parse(await (await list(who)).text()) as ModelList).items;

test("200: each public name with the version that answers, who serves it, and whether it is priced", async () => {
  const old = await ensure("tiny", { contextTokens: 512 });
  clock.advance(1);
  await ensure("tiny", { version: "2", contextTokens: 1024 });
  await ensure("orphan");
  serving.set(old, ["embedded", "spare"]);
  const items = await itemsOf("acme models.read");
  expect(items.map((item) => item.name)).toEqual(["acme-model", "orphan", "tiny"]);
  expect(items.find((item) => item.name === "tiny")).toEqual({
    id: expect.stringMatching(/^model_/),
    name: "tiny",
    ownedBy: "us",
    version: "1",
    contextTokens: 512,
    engines: ["embedded", "spare"],
    priced: true,
  });
  expect(items.find((item) => item.name === "orphan")).toMatchObject({
    engines: [],
    priced: false,
    contextTokens: null,
  });
});

test("200: another organisation sees only its own", async () => {
  expect((await itemsOf("rival models.read")).map((item) => item.name)).toEqual(["rival-model"]);
});

test("401 without a key, 403 without models.read", async () => {
  expect((await list("")).status).toBe(401);
  expect((await list("acme keys.read")).status).toBe(403);
});

test("ensuring again finds the same, changes nothing, and the first owner stays", async () => {
  const first = await ensure("again");
  dirty = 0;
  expect(await ensure("again", { ownedBy: "somebody else" })).toBe(first);
  expect(await ensure("again", { version: null })).toBe(first);
  expect(dirty).toBe(0);
  expect(await ensure("again", { contextTokens: 64 })).toBe(first);
  expect(dirty).toBe(1);
  const again = (await itemsOf("acme models.read")).find((item) => item.name === "again");
  expect(again).toMatchObject({ ownedBy: "us", contextTokens: 64 });
});

test("the same name is another model in another organisation", async () => {
  expect(await ensure("shared", {}, acme)).not.toBe(await ensure("shared", {}, rival));
});

test("a conflict in one wish undoes all of them", async () => {
  await ensure("pinned", { artifactDigest: "aa" });
  const both = [wish("fresh"), wish("pinned", { artifactDigest: "bb" })];
  const work = inTransaction((trx) => ensureVersions(deps, trx, acme.organisationId, both));
  await expect(work).rejects.toMatchObject({ code: "change.conflict" });
  expect((await itemsOf("acme models.read")).map((item) => item.name)).not.toContain("fresh");
});

test("many callers at once, in whatever order of names, agree on one version each", async () => {
  const names = ["p", "q", "r", "s"];
  const answers = await Promise.all(
    Array.from({ length: 6 }, (_, at) =>
      inTransaction((trx) =>
        ensureVersions(
          deps,
          trx,
          acme.organisationId,
          (at % 2 === 0 ? names : names.toReversed()).map((name) => wish(name, { version: null })),
        ),
      ),
    ),
  );
  for (const name of names) expect(new Set(answers.map((ids) => ids.get(name))).size).toBe(1);
});
