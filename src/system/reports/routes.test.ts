import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openFactReader } from "../../billing/ledger/fact-reader.ts";
import { openLedger } from "../../billing/ledger/posting.fixture.ts";
import type { Fact } from "../../billing/metering/types.ts";
import { readPriceTerms } from "../../billing/prices/service.ts";
import {
  FACT_AT,
  fakeJournal,
  reported,
  seedTenant,
  type Tenant,
} from "../../billing/tenant.fixture.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { someone } from "../../http/ask.fixture.ts";
import { DAY, openStage, query } from "./stage.fixture.ts";
import type { RequestPage } from "./types.ts";

type Stage = ReturnType<typeof openStage>;
let database: TestDatabase;
let ledger: ReturnType<typeof openLedger>;
let stage: Stage;
/** Each test looks at a tenant of its own, so that none sees another's facts. */
let tenant: Tenant;
let me: ReturnType<Stage["asReader"]>;
let stranger: Tenant;

beforeAll(async () => {
  database = await openTestDatabase();
  ledger = openLedger(database, readPriceTerms);
  stage = openStage({
    inTransaction: ledger.deps.inTransaction,
    facts: openFactReader(database.db),
    priceTerms: readPriceTerms,
  });
  stranger = await seedTenant(database, "stranger");
  await useTenant("acme");
});
afterAll(() => database.close());

const post = (...facts: readonly Fact[]) => ledger.post(fakeJournal(), facts);
const useTenant = async (name: string) => {
  tenant = await seedTenant(database, name);
  me = stage.asReader(tenant.organisationId);
  return tenant;
};

test.each([
  ["/overview", "usage.read"],
  [`/usage${query(DAY)}`, "usage.read"],
  ["/requests", "requests.read"],
  ["/requests/req_1", "requests.read"],
] as const)("401 and 403: %s needs a credential and %s", async (path, permission) => {
  expect(await stage.ask("GET", path)).toMatchObject({ status: 401 });
  const as = someone(tenant.organisationId, ["keys.read"]);
  const refused = await stage.ask("GET", path, { as });
  expect(refused).toMatchObject({ status: 403, body: { error: { code: "permission.denied" } } });
  expect(JSON.stringify(refused.body)).toContain(permission);
});

describe("overview", () => {
  test("200: minutes with requests, totals and first bytes, up to the minute that runs", async () => {
    const { fact } = await useTenant("overview");
    await post(
      fact({ firstByteMs: 40 }),
      fact({ firstByteMs: 60, startedAtMs: FACT_AT + 110_000 }),
      fact({ status: "failed", firstByteMs: -1, quantities: [] }),
      fact({ startedAtMs: FACT_AT - 60_000 }),
    );
    const sums = { failures: 0, inputTokens: 1_000, outputTokens: 200, amount: "0.003875" };
    expect(await me.overview(3)).toEqual({
      asOf: "2026-11-24T10:17:20.000Z",
      series: [
        {
          ...sums,
          minute: "2026-11-24T10:15:00.000Z",
          requests: 2,
          failures: 1,
          firstByteP50Ms: 40,
          firstByteP95Ms: 40,
        },
        {
          ...sums,
          minute: "2026-11-24T10:17:00.000Z",
          requests: 1,
          firstByteP50Ms: 60,
          firstByteP95Ms: 60,
        },
      ],
      totals: {
        requests: 3,
        failures: 1,
        inputTokens: 2_000,
        outputTokens: 400,
        amount: "0.00775",
      },
      firstByteP50Ms: 40,
      firstByteP95Ms: 60,
    });
  });

  test("200: an organisation without a request has empty figures, not an error", async () => {
    await useTenant("quiet");
    expect(await me.overview(60)).toMatchObject({
      series: [],
      totals: { requests: 0, amount: "0" },
      firstByteP50Ms: null,
    });
  });

  test.each(["0", "1441", "1.5", "an hour", ""])("400: minutes=%j", async (minutes) => {
    expect(await me.get(`/overview?minutes=${minutes}`)).toMatchObject({
      status: 400,
      body: { error: { code: "request.invalid", field: "minutes" } },
    });
  });
});

describe("usage", () => {
  test("200: models by name, all versions of one together, dearest first, and the total", async () => {
    const { fact, organisationId } = await useTenant("usage");
    const model = await database.db
      .selectFrom("model_versions")
      .select(["model_id", "ref"])
      .where("ref", "=", fact().modelVersionRef)
      .executeTakeFirstOrThrow();
    const second = await database.db
      .insertInto("model_versions")
      .values({
        id: "version_second",
        organisation_id: organisationId,
        model_id: model.model_id,
        version: "2",
        created_at: new Date(),
      })
      .returning("ref")
      .executeTakeFirstOrThrow();
    await post(
      fact(),
      fact({ modelVersionRef: second.ref }),
      fact({ modelVersionRef: 9_999, quantities: [reported("output_tokens", 10_000n)] }),
    );
    const { rows, total } = await me.usage({ groupBy: "model" });
    expect(
      rows.map(({ group, label, requests, amount }) => [group, label, requests, amount]),
    ).toEqual([
      ["#9999", "#9999", 1, "0.1"],
      ["usage-model", "usage-model", 2, "0.00775"],
    ]);
    expect(total).toEqual({
      requests: 3,
      failures: 0,
      inputTokens: 2_000,
      cachedInputTokens: 1_000,
      outputTokens: 10_400,
      amount: "0.10775",
    });
  });

  test("200: keys, projects and engines by id and name, revoked and removed ones too", async () => {
    const { fact, keyId, projectId, engineId } = await useTenant("names");
    await post(fact());
    await database.pool.query("update keys set revoked_at = now() where id = $1", [keyId]);
    await database.pool.query("update engines set removed_at = now() where id = $1", [engineId]);
    const group = async (groupBy: string) => {
      const [row] = (await me.usage({ groupBy })).rows;
      return [row?.group, row?.label];
    };
    expect(await group("key")).toEqual([keyId, "names key"]);
    expect(await group("project")).toEqual([projectId, "names project"]);
    expect(await group("engine")).toEqual([engineId, "engine one"]);
  });

  test("200: days begin where the time zone says, in order", async () => {
    const { fact } = await useTenant("days");
    await post(
      fact({ startedAtMs: Date.parse("2026-11-24T23:30:00Z") }),
      fact({ startedAtMs: Date.parse("2026-11-24T01:00:00Z"), quantities: [] }),
    );
    const days = async (timeZone: string) =>
      (await me.usage({ groupBy: "day", timeZone })).rows.map(({ group, label }) => [group, label]);
    expect(await days("UTC")).toEqual([["2026-11-24", "2026-11-24"]]);
    expect(await days("Europe/Berlin")).toEqual([
      ["2026-11-24", "2026-11-24"],
      ["2026-11-25", "2026-11-25"],
    ]);
  });

  test.each([
    ["from", { to: DAY.to }],
    ["from", { ...DAY, from: "yesterday" }],
    ["to", { ...DAY, to: DAY.from }],
    ["groupBy", { ...DAY, groupBy: "firm" }],
    ["timeZone", { ...DAY, timeZone: "Mars/Olympus" }],
    ["timeZone", { ...DAY, timeZone: "+01:00" }],
    ["zone", { ...DAY, zone: "here" }],
  ])("400: %s in %j", async (field, values) => {
    const path = `/usage${query(values)}`;
    expect(await me.get(path)).toMatchObject({
      status: 400,
      body: { error: { code: "request.invalid", field } },
    });
  });
});

describe("requests", () => {
  test("200: a row says who asked what of whom, how it went and what it cost", async () => {
    const { fact, keyId, priceId } = await useTenant("rows");
    const quantities = [...fact().quantities, reported("reasoning_tokens", 50n)];
    const asked = fact({ quantities });
    await post(asked);
    expect(await me.requests()).toEqual({
      items: [
        {
          requestId: asked.requestId,
          at: "2026-11-24T10:15:30.500Z",
          status: "ok",
          httpStatus: 200,
          endpoint: "chat",
          model: "rows-model",
          version: "1",
          zone: "here",
          engine: "engine one",
          attempt: 1,
          attemptKind: "first",
          keyId,
          keyName: "rows key",
          project: "rows project",
          streamed: true,
          firstByteMs: 40,
          durationMs: 900,
          inputTokens: 1_000,
          cachedInputTokens: 500,
          outputTokens: 250,
          reasoningTokens: 50,
          amount: "0.004375",
          priceVersionId: priceId,
        },
      ],
      next: null,
    });
  });

  test("200: pages follow one another to the end", async () => {
    const { fact } = await useTenant("pages");
    const facts = Array.from({ length: 5 }, (_, count) => fact({ startedAtMs: FACT_AT - count }));
    await post(...facts);
    const seen: string[] = [];
    let next: string | null = null;
    do {
      const page: RequestPage = await me.requests({
        limit: 2,
        ...(next === null ? {} : { cursor: next }),
      });
      seen.push(...page.items.map(({ requestId }) => requestId));
      next = page.next;
    } while (next !== null);
    expect(seen).toEqual(facts.map(({ requestId }) => requestId));
  });

  test("200: each filter by what people call it; `failures` is what the overview counts", async () => {
    const { fact, keyId, projectId, engineId } = await useTenant("filters");
    await post(
      fact(),
      fact({ status: "caller_left" }),
      fact({ status: "failed" }),
      fact({ status: "cut", keyRef: 9_999, modelVersionRef: 9_999 }),
    );
    const count = async (values: Readonly<Record<string, string>>) =>
      (await me.requests(values)).items.length;
    expect(await count({ status: "failures" })).toBe((await me.overview(60)).totals.failures);
    expect(await count({ status: "failures" })).toBe(2);
    expect(await count({ status: "caller_left" })).toBe(1);
    expect(await count({ keyId, projectId, engineId, model: "filters-model" })).toBe(3);
    expect(
      await count({ from: "2026-11-24T10:15:30.500Z", to: "2026-11-24T11:15:30.501+01:00" }),
    ).toBe(4);
    expect(await count({ from: "2026-11-24T10:15:30.501Z" })).toBe(0);
  });

  test("200: nobody sees another organisation's requests", async () => {
    const { fact } = await useTenant("mine");
    await post(fact());
    expect((await stage.asReader(stranger.organisationId).requests()).items).toEqual([]);
  });

  test.each([
    ["limit", { limit: "0" }],
    ["limit", { limit: "1001" }],
    ["cursor", { cursor: "next" }],
    ["status", { status: "lost" }],
    ["model", { model: "gpt-none" }],
    ["keyId", { keyId: "key_none" }],
    ["projectId", { projectId: "proj_none" }],
    ["engineId", { engineId: "engine_none" }],
    ["from", { from: "2026-13-01" }],
    ["to", { from: DAY.to, to: DAY.from }],
    ["key", { key: "key_1" }],
  ])("400: %s in %j", async (field, values) => {
    const path = `/requests${query(values)}`;
    expect(await me.get(path)).toMatchObject({
      status: 400,
      body: { error: { code: "request.invalid", field } },
    });
  });

  test("400: a key, project, engine or model of another organisation is unknown, as if it were nowhere", async () => {
    const { keyId, projectId, engineId } = stranger;
    for (const [field, value] of Object.entries({
      keyId,
      projectId,
      engineId,
      model: "stranger-model",
    })) {
      const asked = await me.get(`/requests${query({ [field]: value })}`);
      expect(asked).toMatchObject({ status: 400, body: { error: { field } } });
    }
  });

  test("200: a cursor beyond what the database counts is just a place after which there is nothing", async () => {
    const cursor = `0000000000000.gw_${"0".repeat(26)}.9999999999.9999999999.9999999999`;
    expect((await me.requests({ cursor })).items).toEqual([]);
  });
});
