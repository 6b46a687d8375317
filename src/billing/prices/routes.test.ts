import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { watchChanges, type Changes } from "../../db/change.fixture.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { openAsk, someone } from "../../http/ask.fixture.ts";
import { manualClock, systemDice } from "../../kit/clock.ts";
import { seedTenant, type Tenant } from "../tenant.fixture.ts";
import { priceRoutes } from "./routes.ts";
import { createPriceService } from "./service.ts";
import { PriceList } from "./types.ts";

let database: TestDatabase;
let tenant: Tenant;
let stranger: Tenant;
let ask: ReturnType<typeof openAsk>;
let changes: Changes;
const clock = manualClock(Date.parse("2026-11-24T12:00:00Z"));

beforeAll(async () => {
  database = await openTestDatabase();
  changes = watchChanges(database);
  [tenant, stranger] = [await seedTenant(database), await seedTenant(database, "stranger")];
  ask = openAsk(
    priceRoutes(
      createPriceService({
        ...changes.deps,
        clock,
        dice: systemDice,
      }),
    ),
  );
});
afterAll(() => database.close());

const may = (...permissions: ("prices.read" | "prices.write")[]) =>
  someone(tenant.organisationId, permissions);
const set = (body: unknown) => ask("POST", "/prices", { as: may("prices.write"), body });
const importFile = (body: unknown) =>
  ask("POST", "/prices/import", { as: may("prices.write"), body });
const list = async (model: string, whose = tenant) => {
  const as = someone(whose.organisationId, ["prices.read"]);
  const { body } = await ask("GET", `/prices?model=${encodeURIComponent(model)}`, { as });
  return PriceList.parse(body).items;
};
const price = (model: string, change: object = {}) => ({
  model,
  effectiveFrom: "2026-12-01T00:00:00Z",
  perMillion: { input_tokens: "2.50", output_tokens: "10" },
  ...change,
});
const file = (...prices: readonly object[]) => ({
  format: 1,
  asOf: "2026-11-24",
  currency: "USD",
  prices,
});

test.each([
  ["GET", "/prices", "prices.read"],
  ["POST", "/prices", "prices.write"],
  ["POST", "/prices/import", "prices.write"],
] as const)("401 and 403: %s %s needs a credential and %s", async (method, path, permission) => {
  expect(await ask(method, path)).toMatchObject({ status: 401 });
  const other = permission === "prices.read" ? may("prices.write") : may("prices.read");
  const refused = await ask(method, path, { as: other });
  expect(refused).toMatchObject({ status: 403, body: { error: { code: "permission.denied" } } });
});

describe("GET /prices", () => {
  test("200: newest first within a model, exact as they were set", async () => {
    await set(price("listed"));
    await set(price("listed", { effectiveFrom: "2027-01-01T00:00:00Z", source: "a letter" }));
    expect(await list("listed")).toMatchObject([
      { effectiveFrom: "2027-01-01T00:00:00.000Z", source: "a letter" },
      {
        effectiveFrom: "2026-12-01T00:00:00.000Z",
        perMillion: { input_tokens: "2.5", output_tokens: "10" },
      },
    ]);
  });

  test("200: prices of another organisation are not there", async () => {
    await set(price("mine"));
    expect(await list("mine")).toHaveLength(1);
    expect(await list("mine", stranger)).toEqual([]);
  });

  test("400: an unknown filter is named", async () => {
    expect(await ask("GET", "/prices?name=x", { as: may("prices.read") })).toMatchObject({
      status: 400,
      body: { error: { code: "request.invalid", field: "name" } },
    });
  });
});

describe("POST /prices", () => {
  test("201: a price from a later date, audited and told to the snapshot", async () => {
    const before = [changes.audited.length, changes.told];
    const { status, body } = await set(price("fresh"));
    expect([status, body]).toMatchObject([201, { id: expect.stringMatching(/^price_/) }]);
    expect([changes.audited.length, changes.told]).toEqual(before.map((count) => (count ?? 0) + 1));
    expect(changes.audited.at(-1)).toMatchObject({ action: "price.create", actor: "key_test" });
  });

  test.each([
    ["perMillion", { perMillion: {} }],
    ["perMillion.input_tokens", { perMillion: { input_tokens: "-1" } }],
    ["perMillion.input_tokens", { perMillion: { input_tokens: "0.0000001" } }],
    ["perMillion.input_tokens", { perMillion: { input_tokens: 2.5 } }],
    ["perMillion.input_tokens", { perMillion: { output_tokens: "1" } }],
    ["perMillion.input_tokens", { perMillion: { requests: "1000" } }],
    ["perMillion.output_tokens", { perMillion: { input_tokens: "1", reasoning_tokens: "2" } }],
    ["perMillion.tokens", { perMillion: { tokens: "1" } }],
    ["effectiveFrom", { effectiveFrom: "tomorrow" }],
    ["model", { model: "" }],
    ["currency", { currency: "EUR" }],
  ])("400: %s in %j, and nothing is stored", async (field, change) => {
    const answer = await set(price("refused", change));
    expect(answer).toMatchObject({
      status: 400,
      body: { error: { code: "request.invalid", field } },
    });
    expect(await list("refused")).toEqual([]);
  });

  test("400: a model that has prices gets no new one in the past", async () => {
    await set(price("rated"));
    expect(await set(price("rated", { effectiveFrom: "2026-01-01T00:00:00Z" }))).toMatchObject({
      status: 400,
      body: { error: { code: "request.invalid", field: "effectiveFrom" } },
    });
  });

  test("409: the very same price, and another one of the same instant", async () => {
    await set(price("once"));
    expect(await set(price("once"))).toMatchObject({
      status: 409,
      body: { error: { code: "entity.exists", field: "effectiveFrom" } },
    });
    expect(await set(price("once", { perMillion: { input_tokens: "3" } }))).toMatchObject({
      status: 409,
      body: { error: { code: "change.conflict", field: "effectiveFrom" } },
    });
  });

  test("409: of two at once that disagree only one is taken", async () => {
    const answers = await Promise.all(
      ["1", "2"].map((input_tokens) => set(price("raced", { perMillion: { input_tokens } }))),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409]);
    expect(await list("raced")).toHaveLength(1);
  });
});

describe("POST /prices/import", () => {
  test("200: the shipped file is taken over, and a second time changes nothing", async () => {
    const shipped = JSON.parse(
      readFileSync(join(import.meta.dir, "..", "..", "..", "prices", "2026-11.json"), "utf8"),
    );
    const count = shipped.prices.length;
    expect(await importFile(shipped)).toMatchObject({
      status: 200,
      body: { added: count, unchanged: 0 },
    });
    const before = [changes.audited.length, changes.told];
    expect(await importFile(shipped)).toMatchObject({
      status: 200,
      body: { added: 0, unchanged: count },
    });
    expect([changes.audited.length, changes.told]).toEqual(before);
  });

  test.each([
    ["prices[1].perMillion", file(price("half"), price("bad", { perMillion: {} }))],
    ["prices[1].effectiveFrom", file(price("half"), price("half"))],
    ["prices[1].model", file(price("half"), price(""))],
    ["currency", { ...file(price("half")), currency: "EUR" }],
    ["format", { ...file(price("half")), format: 2 }],
  ])("400: %s, and nothing of the file is taken over", async (field, body) => {
    expect(await importFile(body)).toMatchObject({
      status: 400,
      body: { error: { code: "request.invalid", field } },
    });
    expect(await list("half")).toEqual([]);
  });

  test("409: a line that contradicts a stored price is named, and nothing of the file is taken over", async () => {
    await set(price("stored"));
    const body = file(price("new in file"), price("stored", { perMillion: { input_tokens: "9" } }));
    expect(await importFile(body)).toMatchObject({
      status: 409,
      body: { error: { code: "change.conflict", field: "prices[1].effectiveFrom" } },
    });
    expect(await list("new in file")).toEqual([]);
  });
});
