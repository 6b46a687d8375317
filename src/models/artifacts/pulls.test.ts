// Pulls from the question to the served file: routes, the worker's loop, a worker that dies, one that stops, one that is late.

import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Transaction } from "kysely";
import { seedTenant, type Tenant } from "../../billing/tenant.fixture.ts";
import type { AuditEntry } from "../../db/change.types.ts";
import type { DB } from "../../db/schema.gen.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { openAsk, someone } from "../../http/ask.fixture.ts";
import { systemClock } from "../../kit/clock.ts";
import { asId } from "../../kit/id.ts";
import { makeGoods, openPlaces, type Places } from "./places.fixture.ts";
import { openTestPuller, type TestPuller } from "./puller.fixture.ts";
import { pullRoutes } from "./routes.ts";
import { createPullService } from "./service.ts";
import { ModelIndex, PullList } from "./types.ts";

const goods = makeGoods();
const { model } = goods;
const root = mkdtempSync(join(tmpdir(), "intertie-pulls-"));
const HUB = "/nobody/toy/resolve/abc/toy.gguf";

let database: TestDatabase;
let acme: Tenant;
let rival: Tenant;
let places: Places;
let folder = "";
let run = 0;
const audited: AuditEntry[] = [];

beforeAll(async () => {
  database = await openTestDatabase();
  [acme, rival] = [await seedTenant(database, "acme"), await seedTenant(database, "rival")];
  places = await openPlaces(goods);
});
beforeEach(async () => {
  folder = join(root, String((run += 1)));
  places.moods = [{}];
  places.forget();
  audited.length = 0;
  await database.db.deleteFrom("model_pulls").execute();
});
afterAll(async () => {
  await places.close();
  await database.close();
  rmSync(root, { recursive: true });
});

const service = createPullService({
  inTransaction: <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
    database.db.transaction().execute(work),
  audit: async (_, entry) => void audited.push(entry),
  clock: systemClock,
  catalogue: [model],
});
const ask = openAsk(pullRoutes(service));
const reader = (tenant = acme) => someone(tenant.organisationId, ["models.read"]);
const writer = (tenant = acme) => someone(tenant.organisationId, ["models.write"]);
const pull = (name = "toy", as = writer()) => ask("POST", "/models/pulls", { as, body: { name } });
const listed = async (tenant = acme) =>
  PullList.parse((await ask("GET", "/models/pulls", { as: reader(tenant) })).body).items;
const stateOf = async () => (await listed())[0];
const openOne = (worker: string, aheadMs = 0): TestPuller =>
  openTestPuller(
    { databaseUrl: database.url, folder, hub: places.url, worker },
    { ...systemClock, nowMs: () => systemClock.nowMs() + aheadMs },
  );

async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("202: a pull is queued, once however often it is asked for; 200: only its organisation sees it", async () => {
  const view = { name: "toy", state: "queued", doneBytes: 0, totalBytes: null, detail: "" };
  expect(await pull()).toMatchObject({ status: 202, body: view });
  expect(await pull()).toMatchObject({ status: 202, body: view });
  expect(await listed()).toEqual([{ ...view, state: "queued" }]);
  expect(await listed(rival)).toEqual([]);
  expect(audited).toEqual([
    expect.objectContaining({ action: "model.pull", subject: "toy", actor: "key_test" }),
  ]);
});

test("400: a body without a name, and one with more than a name", async () => {
  const as = writer();
  expect(await ask("POST", "/models/pulls", { as, body: {} })).toMatchObject({
    status: 400,
    body: { error: { code: "request.invalid", field: "name" } },
  });
  const more = { name: "toy", url: "http://elsewhere" };
  expect(await ask("POST", "/models/pulls", { as, body: more })).toMatchObject({
    status: 400,
    body: { error: { field: "url" } },
  });
});

test("401: nobody is signed in; 403: reading is not pulling, pulling is not reading", async () => {
  expect((await ask("GET", "/models/pulls")).status).toBe(401);
  expect((await ask("POST", "/models/pulls", { body: { name: "toy" } })).status).toBe(401);
  expect((await pull("toy", reader())).status).toBe(403);
  expect((await ask("GET", "/models/pulls", { as: writer() })).status).toBe(403);
});

test("404: a model that is not in the catalogue; the hint says which are", async () => {
  expect(await pull("toys")).toMatchObject({
    status: 404,
    body: { error: { code: "model.unknown", field: "name", hint: "these can be pulled: toy" } },
  });
});

test("a pull ends with the file in the engine's index and the model registered and priced, in one transaction", async () => {
  await pull();
  const puller = openOne("one");
  await puller.look();
  expect(await stateOf()).toMatchObject({
    state: "done",
    doneBytes: model.bytes,
    totalBytes: model.bytes,
    detail: `from ${new URL(places.url).host}`,
  });
  const index = ModelIndex.parse(JSON.parse(readFileSync(join(folder, "models.json"), "utf8")));
  expect(index.models["toy"]).toEqual({
    file: `${model.digest}.gguf`,
    digest: model.digest,
    contextTokens: 128,
  });
  expect(puller.done).toEqual(["register toy", "price toy", "model.pulled toy", "dirty"]);
  await pull();
  await puller.look();
  expect(places.asked).toEqual([HUB]);
  expect(await stateOf()).toMatchObject({ state: "done", detail: "it was here already" });
  await puller.close();
});

test("failed with artifact.digest: other bytes are deleted and nothing is served; asking again heals it", async () => {
  places.moods = [{ bytes: goods.bytes.toReversed() }, {}];
  await pull();
  const puller = openOne("one");
  await puller.look();
  const failed = await stateOf();
  expect(failed?.state).toBe("failed");
  expect(failed?.detail).toStartWith("artifact.digest: ");
  expect(readdirSync(folder)).toEqual([]);
  expect(puller.done).toEqual([]);
  expect(await pull()).toMatchObject({ body: { state: "queued", detail: "" } });
  await puller.look();
  expect((await stateOf())?.state).toBe("done");
  await puller.close();
});

test("kill -9 of the worker in the middle: nobody takes its pull before its hold ends, the next goes on where it was", async () => {
  places.moods = [{ stallAfter: 250_000 }, {}];
  await pull();
  const program = join(import.meta.dir, "puller.fixture.ts");
  const child = Bun.spawn([process.execPath, program, database.url, folder, places.url], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const seen = await until(async () => {
    const now = await stateOf();
    return now && now.doneBytes >= 250_000 ? now : undefined;
  });
  expect(seen).toMatchObject({ state: "running", totalBytes: model.bytes });
  child.kill("SIGKILL");
  await child.exited;
  const early = openOne("early");
  await early.look();
  expect((await stateOf())?.state).toBe("running");
  await early.close();
  const late = openOne("late", 11_000);
  await late.look();
  expect((await stateOf())?.state).toBe("done");
  expect(places.asked).toEqual([HUB, `${HUB} bytes=250000-`]);
  expect(readFileSync(join(folder, `${model.digest}.gguf`)).equals(goods.bytes)).toBe(true);
  await late.close();
}, 20_000);

test("a worker that stops lets go at once; the next start goes on", async () => {
  places.moods = [{ stallAfter: 100_000 }, {}];
  await pull();
  const first = openOne("first");
  const looking = first.look();
  await until(async () => (places.asked.length > 0 ? true : undefined));
  await until(async () => (readdirSync(folder).length > 0 ? true : undefined));
  await first.close();
  await looking;
  expect((await stateOf())?.state).toBe("queued");
  const second = openOne("second");
  await second.look();
  expect((await stateOf())?.state).toBe("done");
  await second.close();
});

test("a worker that was taken for dead and is not ends without a word: the pull is the other's", async () => {
  places.moods = [{ stallAfter: 100_000 }];
  await pull();
  const slow = openOne("slow");
  const looking = slow.look();
  await until(async () => ((await stateOf())?.state === "running" ? true : undefined));
  await database.db.updateTable("model_pulls").set({ taken_by: "other" }).execute();
  await looking;
  expect(slow.done).toEqual([]);
  expect((await stateOf())?.state).toBe("running");
  await slow.close();
});

test("two workers that look at the same moment never take the same pull", async () => {
  await pull();
  const other = openAsk(pullRoutes(service));
  await other("POST", "/models/pulls", { as: writer(rival), body: { name: "toy" } });
  const pullers = [openOne("a"), openOne("b")];
  await Promise.all(pullers.map((puller) => puller.look()));
  const registered = pullers
    .flatMap((puller) => puller.done)
    .filter((line) => line === "register toy");
  expect(registered).toHaveLength(2);
  expect([(await stateOf())?.state, (await listed(rival))[0]?.state]).toEqual(["done", "done"]);
  for (const puller of pullers) await puller.close();
});

test("a name that left the catalogue fails clearly", async () => {
  const { organisationId } = acme;
  await database.db
    .insertInto("model_pulls")
    .values({
      organisation_id: organisationId,
      name: "gone",
      state: "queued",
      asked_by: asId<"key">("key_x"),
      asked_at: new Date(),
    })
    .execute();
  const puller = openOne("one");
  await puller.look();
  expect((await stateOf())?.detail).toBe("model.unknown: gone can no longer be pulled");
  await puller.close();
});
