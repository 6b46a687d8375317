import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openFactReader } from "../../billing/ledger/fact-reader.ts";
import { openLedger } from "../../billing/ledger/posting.fixture.ts";
import type { Fact } from "../../billing/metering/types.ts";
import { createPriceService, readPriceTerms } from "../../billing/prices/service.ts";
import {
  FACT_AT,
  fakeJournal,
  reported,
  seedTenant,
  type Tenant,
} from "../../billing/tenant.fixture.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { openAsk, someone } from "../../http/ask.fixture.ts";
import { manualClock, systemDice } from "../../kit/clock.ts";
import { parseDecimal } from "../../kit/money.ts";
import { reportRoutes } from "./routes.ts";
import { createReportService } from "./service.ts";
import { Overview, RequestDetail, RequestPage, Usage } from "./types.ts";

let database: TestDatabase;
let tenant: Tenant;
let stranger: Tenant;
let ledger: ReturnType<typeof openLedger>;
let ask: ReturnType<typeof openAsk>;
/** 10:17:20; the tenant's facts began at 10:15:30.5. */
const clock = manualClock(Date.parse("2026-11-24T10:17:20Z"));
const DAY = { from: "2026-11-24T00:00:00Z", to: "2026-11-25T00:00:00Z" };

const wire = () =>
  openAsk(
    reportRoutes(
      createReportService({
        inTransaction: ledger.deps.inTransaction,
        clock,
        facts: openFactReader(database.db),
        priceTerms: readPriceTerms,
      }),
    ),
  );

beforeAll(async () => {
  database = await openTestDatabase();
  [tenant, stranger] = [await seedTenant(database), await seedTenant(database, "stranger")];
  ledger = openLedger(database, readPriceTerms);
  ask = wire();
});
afterAll(() => database.close());

const post = (...facts: readonly Fact[]) => ledger.post(fakeJournal(), facts);
const query = (values: Readonly<Record<string, string | number>>) =>
  `?${new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)]))}`;
const reader = (whose: Tenant) => someone(whose.organisationId, ["usage.read", "requests.read"]);
const get = async (path: string, whose = tenant) => {
  const { status, body } = await ask("GET", path, { as: reader(whose) });
  expect([status, body]).toEqual([200, expect.anything()]);
  return body;
};
const overview = async (minutes: number) =>
  Overview.parse(await get(`/overview?minutes=${minutes}`));
const usage = async (values: Readonly<Record<string, string>>) =>
  Usage.parse(await get(`/usage${query({ ...DAY, ...values })}`));
const requests = async (values: Readonly<Record<string, string | number>> = {}, whose = tenant) =>
  RequestPage.parse(await get(`/requests${query(values)}`, whose));
const request = async (id: string) => RequestDetail.parse(await get(`/requests/${id}`));

/** Each test looks at a tenant of its own, so that none sees another's facts. */
const useTenant = async (name: string) => {
  tenant = await seedTenant(database, name);
  return tenant;
};

test.each([
  ["/overview", "usage.read"],
  [`/usage${query(DAY)}`, "usage.read"],
  ["/requests", "requests.read"],
  ["/requests/req_1", "requests.read"],
] as const)("401 and 403: %s needs a credential and %s", async (path, permission) => {
  expect(await ask("GET", path)).toMatchObject({ status: 401 });
  const as = someone(tenant.organisationId, ["keys.read"]);
  const refused = await ask("GET", path, { as });
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
    expect(await overview(3)).toEqual({
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
    expect(await overview(60)).toMatchObject({
      series: [],
      totals: { requests: 0, amount: "0" },
      firstByteP50Ms: null,
    });
  });

  test.each(["0", "1441", "1.5", "an hour", ""])("400: minutes=%p", async (minutes) => {
    expect(await ask("GET", `/overview?minutes=${minutes}`, { as: reader(tenant) })).toMatchObject({
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
    const { rows, total } = await usage({ groupBy: "model" });
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
      const [row] = (await usage({ groupBy })).rows;
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
      (await usage({ groupBy: "day", timeZone })).rows.map(({ group, label }) => [group, label]);
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
    expect(await ask("GET", path, { as: reader(tenant) })).toMatchObject({
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
    expect(await requests()).toEqual({
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
      const page: RequestPage = await requests({
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
      (await requests(values)).items.length;
    expect(await count({ status: "failures" })).toBe((await overview(60)).totals.failures);
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
    expect((await requests({}, stranger)).items).toEqual([]);
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
    expect(await ask("GET", path, { as: reader(tenant) })).toMatchObject({
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
      const asked = await ask("GET", `/requests${query({ [field]: value })}`, {
        as: reader(tenant),
      });
      expect(asked).toMatchObject({ status: 400, body: { error: { field } } });
    }
  });

  test("200: a cursor beyond what the database counts is just a place after which there is nothing", async () => {
    const cursor = `0000000000000.gw_${"0".repeat(26)}.9999999999.9999999999.9999999999`;
    expect((await requests({ cursor })).items).toEqual([]);
  });
});

describe("one request", () => {
  test("200: attempts in order; the lines of each sum to its amount, and its place in the ledger is there", async () => {
    const { fact } = await useTenant("detail");
    const { requestId } = fact();
    const journal = fakeJournal();
    await ledger.post(journal, [
      fact({ requestId, status: "failed", firstByteMs: -1, quantities: [], engineRef: 0 }),
      fact({
        requestId,
        attempt: 2,
        attemptKind: "fallback",
        quantities: [
          ...fact().quantities,
          { meter: "reasoning_tokens", amount: 7n, source: "counted" },
        ],
      }),
    ]);
    const { attempts } = await request(requestId);
    const [first, second] = attempts;
    expect(first).toMatchObject({
      attempt: 1,
      engine: "",
      firstByteMs: null,
      amount: "0",
      priceLines: [],
    });
    expect(second?.priceLines).toEqual([
      { meter: "input_tokens", quantity: 500, perMillion: "2.5", amount: "0.00125" },
      { meter: "cached_input_tokens", quantity: 500, perMillion: "1.25", amount: "0.000625" },
      { meter: "output_tokens", quantity: 200, perMillion: "10", amount: "0.002" },
      { meter: "reasoning_tokens", quantity: 7, perMillion: "10", amount: "0.00007" },
    ]);
    const sum = second?.priceLines.reduce(
      (pico, line) => pico + (parseDecimal(line.amount) ?? 0n),
      0n,
    );
    expect(sum).toBe(parseDecimal(second?.amount ?? "") ?? -1n);
    expect(second).toMatchObject({
      attemptKind: "fallback",
      upstreamRequestId: "up-1",
      posting: { gateway: journal.gateway, lane: 0, sequence: 1, index: 1 },
    });
    expect(second?.quantities.at(-1)).toEqual({
      meter: "reasoning_tokens",
      amount: 7,
      source: "counted",
    });
    expect(second?.posting.segmentDigest).toMatch(/^[0-9a-f]{64}$/);
  });

  test("200: a later price changes nothing of what was rated before", async () => {
    const { fact, organisationId, keyId, priceId } = await useTenant("repriced");
    const asked = fact();
    await post(asked);
    const prices = createPriceService({
      inTransaction: ledger.deps.inTransaction,
      audit: async () => {},
      markSnapshotDirty: async () => {},
      clock,
      dice: systemDice,
    });
    await prices.create(someone(organisationId, [], { keyId: keyId as never }), {
      model: "repriced-model",
      effectiveFrom: "2026-12-01T00:00:00Z",
      perMillion: { input_tokens: "99" },
      source: "",
    });
    const [attempt] = (await request(asked.requestId)).attempts;
    expect([attempt?.amount, attempt?.priceVersionId]).toEqual(["0.003875", priceId]);
  });

  test("500: an amount that its price cannot explain is not shown as if it could", async () => {
    const { fact } = await useTenant("broken");
    const asked = fact();
    await post(asked);
    await database.pool.query(
      "update facts set amount_pico = amount_pico + 1 where request_id = $1",
      [asked.requestId],
    );
    const path = `/requests/${asked.requestId}`;
    expect(await ask("GET", path, { as: reader(tenant) })).toMatchObject({
      status: 500,
      body: { error: { code: "internal" } },
    });
  });

  test("404: an unknown request, and one of another organisation, which is not found, not forbidden", async () => {
    const { fact } = await useTenant("found");
    const asked = fact();
    await post(asked);
    for (const [path, as] of [
      ["/requests/req_none", reader(tenant)],
      [`/requests/${asked.requestId}`, reader(stranger)],
    ] as const) {
      expect(await ask("GET", path, { as })).toMatchObject({
        status: 404,
        body: { error: { code: "entity.not_found" } },
      });
    }
  });
});
