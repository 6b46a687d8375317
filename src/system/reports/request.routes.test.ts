import { afterAll, beforeAll, expect, test } from "bun:test";
import { openFactReader } from "../../billing/ledger/fact-reader.ts";
import { openLedger } from "../../billing/ledger/posting.fixture.ts";
import type { Fact } from "../../billing/metering/types.ts";
import { createPriceService, readPriceTerms } from "../../billing/prices/service.ts";
import { fakeJournal, seedTenant, type Tenant } from "../../billing/tenant.fixture.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { someone } from "../../http/ask.fixture.ts";
import { manualClock, systemDice } from "../../kit/clock.ts";
import { asId } from "../../kit/id.ts";
import { parseDecimal } from "../../kit/money.ts";
import { NOW_MS, openStage } from "./stage.fixture.ts";

type Stage = ReturnType<typeof openStage>;
let database: TestDatabase;
let ledger: ReturnType<typeof openLedger>;
let stage: Stage;
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
});
afterAll(() => database.close());

const post = (...facts: readonly Fact[]) => ledger.post(fakeJournal(), facts);
const useTenant = async (name: string) => {
  const tenant = await seedTenant(database, name);
  me = stage.asReader(tenant.organisationId);
  return tenant;
};

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
  const { attempts } = await me.request(requestId);
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
    clock: manualClock(NOW_MS),
    dice: systemDice,
  });
  await prices.create(someone(organisationId, [], { keyId: asId(keyId) }), {
    model: "repriced-model",
    effectiveFrom: "2026-12-01T00:00:00Z",
    perMillion: { input_tokens: "99" },
    source: "",
  });
  const [attempt] = (await me.request(asked.requestId)).attempts;
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
  expect(await me.get(path)).toMatchObject({
    status: 500,
    body: { error: { code: "internal" } },
  });
});

test("404: an unknown request, and one of another organisation, which is not found, not forbidden", async () => {
  const { fact } = await useTenant("found");
  const asked = fact();
  await post(asked);
  const them = stage.asReader(stranger.organisationId);
  for (const answer of [
    await me.get("/requests/req_none"),
    await them.get(`/requests/${asked.requestId}`),
  ])
    expect(answer).toMatchObject({ status: 404, body: { error: { code: "entity.not_found" } } });
});
