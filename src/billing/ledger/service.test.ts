import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Transaction } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { systemClock } from "../../kit/clock.ts";
import { silentLog } from "../../kit/log.ts";
import { openPriceStore } from "../prices/store.ts";
import { FACT_AT, FACT_PICO, fakeJournal, seedTenant, type Tenant } from "../tenant.fixture.ts";
import { receiveSegment } from "./receive.ts";
import { postSegments, type LedgerDeps } from "./service.ts";
import type { SettledSpend } from "./types.ts";

let database: TestDatabase;
let tenant: Tenant;
let settled: SettledSpend[] = [];

beforeAll(async () => {
  database = await openTestDatabase();
  tenant = await seedTenant(database);
});
afterAll(() => database.close());

const inTransaction = <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
  database.db.transaction().execute(work);

const deps = (change: Partial<LedgerDeps> = {}): LedgerDeps => ({
  inTransaction,
  clock: systemClock,
  log: silentLog,
  priceTerms: (trx, refs) => openPriceStore(trx).selectTerms(refs),
  settleSpend: async (_, spends) => void settled.push(...spends),
  ...change,
});
const receive = (gateway: string, bytes: Uint8Array) =>
  receiveSegment({ inTransaction, clock: systemClock, log: silentLog }, gateway, bytes);
const post = (change: Partial<LedgerDeps> = {}) => postSegments(deps(change), { batchMax: 8 });

const factsOf = (gateway: string) =>
  database.db
    .selectFrom("facts")
    .selectAll()
    .where("gateway", "=", gateway)
    .orderBy("sequence")
    .orderBy("index")
    .execute();
const entriesOf = (gateway: string) =>
  database.db.selectFrom("ledger_entries").selectAll().where("gateway", "=", gateway).execute();
const cursorOf = (gateway: string) =>
  database.db
    .selectFrom("ledger_cursors")
    .selectAll()
    .where("gateway", "=", gateway)
    .executeTakeFirstOrThrow();

test("a segment becomes facts, entries that sum to zero, minutes and settled spend", async () => {
  settled = [];
  const journal = fakeJournal();
  const fact = tenant.fact();
  const { bytes } = journal.seal([
    { type: "intent", fact },
    { type: "settle", fact },
    { type: "settle", fact: tenant.fact({ status: "failed", quantities: [] }) },
  ]);
  expect(await receive(journal.gateway, bytes)).toEqual({ lane: 0, committed: 1 });
  expect(await post()).toEqual({ segments: 1, facts: 2, frozen: 0, failed: 0, more: false });

  const facts = await factsOf(journal.gateway);
  expect(facts.map((row) => [row.index, row.amount_pico, row.price_in_force])).toEqual([
    [1, FACT_PICO, true],
    [2, 0n, true],
  ]);
  const entries = await entriesOf(journal.gateway);
  expect(entries.map((row) => [row.account, row.amount_pico, row.fact_count])).toEqual([
    ["receivable", FACT_PICO, 2],
    ["revenue", -FACT_PICO, 2],
  ]);
  expect(settled.map(({ month, amountPico }) => [month, amountPico])).toEqual([
    ["2026-11", FACT_PICO],
  ]);
  const minute = await database.db
    .selectFrom("usage_minutes")
    .selectAll()
    .executeTakeFirstOrThrow();
  expect(minute.minute.toISOString()).toBe("2026-11-24T10:15:00.000Z");
  expect([minute.requests, minute.failures, minute.input_tokens]).toEqual([2n, 1n, 1_000n]);
  expect([minute.cached_input_tokens, minute.output_tokens]).toEqual([500n, 200n]);
  expect(minute.amount_pico).toBe(FACT_PICO);
});

test("a segment that comes again is acknowledged and posted once", async () => {
  const journal = fakeJournal();
  const { bytes } = journal.settle([tenant.fact()]);
  await receive(journal.gateway, bytes);
  await post();
  expect(await receive(journal.gateway, bytes)).toEqual({ lane: 0, committed: 1 });
  await post();
  expect(await factsOf(journal.gateway)).toHaveLength(1);
});

test("workers that post at the same time post once", async () => {
  const journal = fakeJournal();
  for (let count = 0; count < 20; count += 1) {
    const { bytes } = journal.settle([tenant.fact(), tenant.fact()]);
    await receive(journal.gateway, bytes);
  }
  while ((await cursorOf(journal.gateway)).posted < 20) await Promise.all([post(), post(), post()]);
  expect(await factsOf(journal.gateway)).toHaveLength(40);
  const entries = await entriesOf(journal.gateway);
  expect(entries.reduce((sum, row) => sum + row.amount_pico, 0n)).toBe(0n);
});

test("a lane whose transaction fails leaves nothing behind, and the others go on", async () => {
  const [first, second] = [
    fakeJournal(`gw_${"0".repeat(26)}`),
    fakeJournal(`gw_${"1".repeat(26)}`),
  ] as const;
  const other = await seedTenant(database, "other");
  await receive(first.gateway, first.settle([tenant.fact()]).bytes);
  await receive(second.gateway, second.settle([other.fact()]).bytes);
  const settleSpend: LedgerDeps["settleSpend"] = async (_, spends) => {
    if (spends.some(({ gateway }) => gateway === first.gateway)) throw new Error("no budget");
  };
  expect(await post({ settleSpend })).toMatchObject({ facts: 1, failed: 1, frozen: 0 });
  expect(await factsOf(first.gateway)).toEqual([]);
  expect((await cursorOf(first.gateway)).posted).toBe(0);
  expect(await factsOf(second.gateway)).toHaveLength(1);
  await post();
  expect(await factsOf(first.gateway)).toHaveLength(1);
});

test("a segment that cannot be read freezes its gateway after what was good, and no other", async () => {
  const broken = fakeJournal();
  await receive(broken.gateway, broken.settle([tenant.fact()]).bytes);
  await receive(broken.gateway, broken.settle([tenant.fact()]).bytes);
  await database.pool.query(
    "update segments set bytes = set_byte(bytes, length(bytes) - 1, 255) where gateway = $1 and sequence = 2",
    [broken.gateway],
  );
  const whole = fakeJournal();
  await receive(whole.gateway, whole.settle([tenant.fact()]).bytes);

  expect(await post()).toEqual({ segments: 2, facts: 2, frozen: 1, failed: 0, more: false });
  expect(await cursorOf(broken.gateway)).toMatchObject({
    posted: 1,
    frozen_reason: "segment 2: its bytes do not have its digest",
  });
  expect(await factsOf(whole.gateway)).toHaveLength(1);
  expect(await post()).toEqual({ segments: 0, facts: 0, frozen: 0, failed: 0, more: false });
});

test("a fact without a known price is never billed as zero: its gateway freezes", async () => {
  const journal = fakeJournal();
  await receive(journal.gateway, journal.settle([tenant.fact({ priceVersionRef: 999 })]).bytes);
  expect(await post()).toMatchObject({ facts: 0, frozen: 1 });
  expect((await cursorOf(journal.gateway)).frozen_reason).toBe(
    "segment 1: record 0: price version 999 is not known",
  );
});

test("a price that was not in force is used as the gateway promised it, and flagged", async () => {
  const journal = fakeJournal();
  const early = Date.parse("2025-12-31T00:00:00Z");
  await receive(journal.gateway, journal.settle([tenant.fact({ startedAtMs: early })]).bytes);
  await post();
  const [fact] = await factsOf(journal.gateway);
  expect([fact?.price_in_force, fact?.amount_pico]).toEqual([false, FACT_PICO]);
});

test("a gap, a fork, a fenced epoch and bytes of another gateway are refused", async () => {
  const gateway = fakeJournal().gateway;
  const one = fakeJournal(gateway);
  const first = one.settle([tenant.fact()]);
  const second = one.settle([tenant.fact({ durationMs: 2 })]);
  await expect(receive(gateway, second.bytes)).rejects.toMatchObject({ code: "uplink.gap" });
  await receive(gateway, first.bytes);
  await receive(gateway, second.bytes);

  const late = fakeJournal(gateway, 0);
  late.settle([]);
  late.settle([]);
  const third = late.settle([tenant.fact()]);
  await expect(receive(gateway, third.bytes)).rejects.toMatchObject({ code: "uplink.fenced" });

  const stranger = fakeJournal().gateway;
  await expect(receive(stranger, first.bytes)).rejects.toMatchObject({ code: "request.invalid" });
  await expect(receive(gateway, first.bytes.subarray(0, 40))).rejects.toMatchObject({
    code: "request.invalid",
  });

  const copy = fakeJournal(gateway).settle([tenant.fact({ startedAtMs: FACT_AT + 1 })]);
  await expect(receive(gateway, copy.bytes)).rejects.toMatchObject({ code: "uplink.fork" });
  expect((await cursorOf(gateway)).frozen_reason).toBe("segment 1: fork");
});
