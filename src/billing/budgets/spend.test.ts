import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { openStage, REQUESTS, SPEND, type InTransaction } from "./giver.fixture.ts";
import { releaseEndedLives, settleSpend } from "./spend.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());
beforeEach(() =>
  database.pool.query("truncate spend_grants, spend_budgets, lease_handovers cascade"),
);

let isDown = false;
const inTransaction: InTransaction = (work) =>
  isDown ? Promise.reject(new Error("Postgres is away")) : database.db.transaction().execute(work);
const stage = (limits: Parameters<typeof openStage>[1]) => openStage(inTransaction, limits);

const balance = async () => {
  const { rows } = await database.pool.query(
    "select settled_pico, granted_pico from spend_budgets where resource = $1",
    [SPEND],
  );
  return rows.map((row) => [Number(row.settled_pico), Number(row.granted_pico)])[0];
};

test("a resumed session's declaration frees what the lost answer carried", async () => {
  const { a } = await stage({ [SPEND]: 100n });
  await a.open(1);
  await a.take(SPEND, 80);
  await settle("gw_a", 1, 10);
  await a.open(2, 1, [{ resource: SPEND, amount: 30n }]);
  await a.exchange();
  expect(await balance()).toEqual([10, 20]);
});

test("the last cents go to exactly one gateway", async () => {
  const { a, b } = await stage({ [SPEND]: 100n });
  await a.open(1);
  await b.open(2);
  await a.take(SPEND, 80);
  const both = await Promise.all([a.take(SPEND, 20), b.take(SPEND, 20)]);
  expect(both.toSorted()).toEqual([0, 20]);
  expect(await balance()).toEqual([0, 100]);
});

const projectIds = async () => new Map([[3, "proj_a"]]);
const settle = (gateway: string, sequence: number, amount: number) =>
  inTransaction((trx) =>
    settleSpend({ projectIds }, trx, [
      { gateway, sequence, projectRef: 3, month: "2025-11", amountPico: BigInt(amount) },
    ]),
  );
const release = (posted: number) =>
  releaseEndedLives({ inTransaction, postedUpTo: async () => new Map([["gw_a", posted]]) });

test("posting moves from granted to settled, a dead life's rest is free once its journal is posted", async () => {
  const { a } = await stage({ [SPEND]: 1_000n });
  await a.open(1);
  await a.take(SPEND, 100);
  await settle("gw_a", 5, 30);
  expect(await balance()).toEqual([30, 70]);
  // The process dies; its journal goes up to 7, and the next one's usage follows.
  await a.open(2);
  await a.take(SPEND, 50);
  await settle("gw_a", 7, 20);
  await settle("gw_a", 8, 10);
  expect(await balance()).toEqual([60, 50 + 40]);
  expect(await release(6)).toBe(0);
  expect(await balance()).toEqual([60, 90]);
  expect(await release(7)).toBe(1);
  expect(await balance()).toEqual([60, 40]);
});

test("used beyond what was granted is settled all the same, and made up by the next grant", async () => {
  const { a } = await stage({ [SPEND]: 1_000n });
  await a.open(1);
  await a.take(SPEND, 100);
  await settle("gw_a", 1, 130);
  expect(await balance()).toEqual([130, 0]);
  await a.take(SPEND, 30);
  expect(await balance()).toEqual([130, 0]);
  await a.take(SPEND, 50);
  expect(await balance()).toEqual([130, 50]);
});

test("money of a project without a limit is settled too: a limit may be set within the month", async () => {
  const { a, limits } = await stage({ [SPEND]: null });
  await settle("gw_a", 1, 70);
  limits[SPEND] = 100n;
  await a.open(1);
  expect(await a.take(SPEND, 31)).toBe(0);
  expect(await a.take(SPEND, 30)).toBe(30);
});

test("Postgres away: exchanges with money end the session, the others go on", async () => {
  const { a, b } = await stage({ [SPEND]: 100n, [REQUESTS]: 100n });
  await a.open(1);
  await b.open(2);
  await a.take(SPEND, 10);
  isDown = true;
  await expect(a.take(SPEND, 10)).rejects.toMatchObject({ code: "database.unavailable" });
  await expect(a.take(REQUESTS, 1)).rejects.toMatchObject({ code: "uplink.fenced" });
  expect(await b.take(REQUESTS, 1)).toBe(1);
  isDown = false;
  await a.open(3, 1, [{ resource: SPEND, amount: 10n }]);
  expect(await a.take(SPEND, 10)).toBe(10);
  expect(await balance()).toEqual([0, 20]);
});
