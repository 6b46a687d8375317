import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import {
  LAPSE_MS,
  openStage,
  REQUESTS,
  seenNow,
  SPEND,
  STREAMS,
  type InTransaction,
} from "./giver.fixture.ts";
import { PPM } from "./rules.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());
beforeEach(() =>
  database.pool.query("truncate spend_grants, spend_budgets, lease_handovers cascade"),
);

const inTransaction: InTransaction = (work) => database.db.transaction().execute(work);
const stage = (limits: Parameters<typeof openStage>[1]) => openStage(inTransaction, limits);

test("a new key's whole limit can be used by one gateway, and no more", async () => {
  const { a, b } = await stage({ [REQUESTS]: 60n });
  await a.open(1);
  await b.open(2);
  let granted = 0;
  for (let count = 0; count < 100; count += 1) granted += await a.take(REQUESTS, 1);
  expect(granted).toBe(60);
  expect(await b.take(REQUESTS, 1)).toBe(0);
});

test("ample slices are a fair part; scarce ones exactly the need, and idle slices are called home once", async () => {
  const { a, b, recalled } = await stage({ [REQUESTS]: 1_000n });
  await a.open(1);
  await b.open(2);
  expect(await a.take(REQUESTS, 1, 900)).toBe(250);
  expect(await b.take(REQUESTS, 1, 900)).toBe(187);
  while ((await a.exchange([[REQUESTS, 1, 900]]))[0]?.mode === "ample");
  expect(recalled).toEqual([["gw_b", REQUESTS]]);
  expect(await b.take(REQUESTS, 1, 900)).toBe(1);
});

test("exhausted with slices elsewhere: asked back for 150 ms, then refused with the time to come back", async () => {
  const { a, b, clock, recalled } = await stage({ [STREAMS]: 2n, [REQUESTS]: 3n });
  await a.open(1);
  await b.open(2);
  await a.exchange([
    [STREAMS, 2],
    [REQUESTS, 3],
  ]);
  clock.advance(10_000 - 5_000);
  const ask = () =>
    b.exchange([
      [STREAMS, 1],
      [REQUESTS, 1],
    ]);
  expect((await ask()).map(({ mode, retryAfterMs }) => [mode, retryAfterMs])).toEqual([
    ["scarce", 25],
    ["scarce", 25],
  ]);
  expect(recalled.slice(-2)).toEqual([
    ["gw_a", STREAMS],
    ["gw_a", REQUESTS],
  ]);
  clock.advance(200);
  expect((await ask()).map(({ mode, retryAfterMs }) => [mode, retryAfterMs])).toEqual([
    ["exhausted", 1_000],
    ["exhausted", 54_800],
  ]);
  await a.give(STREAMS, 1);
  expect((await ask()).map(({ amount }) => amount)).toEqual([1n, 0n]);
});

test("fenced: an unknown epoch, a sequence that does not follow, and the session before", async () => {
  const { a, b } = await stage({});
  await expect(a.exchange()).rejects.toMatchObject({ code: "uplink.fenced", status: 409 });
  await a.open(1);
  await a.exchange();
  await a.open(3, 1);
  await a.exchange();
  await expect(a.open(2, 1)).rejects.toMatchObject({ code: "uplink.fenced" });
  await b.open(4);
  await b.exchange();
  b.jump();
  await expect(b.exchange()).rejects.toMatchObject({ code: "uplink.fenced" });
});

test("a resumed session is believed; what the lost answer carried is free again", async () => {
  const { a, b } = await stage({ [STREAMS]: 10n, [SPEND]: 100n });
  await a.open(1);
  await a.exchange([
    [STREAMS, 8],
    [SPEND, 80],
  ]);
  await b.open(2);
  // The answer never arrived: the process says that it holds less.
  await a.open(3, 1, [
    { resource: STREAMS, amount: 2n },
    { resource: SPEND, amount: 30n },
  ]);
  expect(await b.take(STREAMS, 8)).toBe(0);
  await a.exchange();
  expect(await b.take(STREAMS, 8)).toBe(8);
});

test("a new process: its predecessor's streams are over, its use of the last minute is not", async () => {
  const { a, b, clock } = await stage({ [STREAMS]: 5n, [REQUESTS]: 5n });
  await a.open(1);
  await a.exchange([
    [STREAMS, 5],
    [REQUESTS, 5],
  ]);
  await b.open(2);
  await a.open(3);
  const amounts = async () =>
    (
      await b.exchange([
        [STREAMS, 5],
        [REQUESTS, 5],
      ])
    ).map(({ amount }) => amount);
  expect(await amounts()).toEqual([5n, 0n]);
  for (let waited = 0; waited < 60_000; waited += 2_000) {
    clock.advance(2_000);
    await b.exchange();
  }
  expect(await b.take(REQUESTS, 5)).toBe(5);
});

test("a gateway that is cut off keeps what it holds until it cannot be using it any more", async () => {
  const { a, b, clock } = await stage({ [STREAMS]: 5n });
  await a.open(1);
  await a.take(STREAMS, 5);
  await b.open(2);
  let waitedMs = 0;
  while ((await b.take(STREAMS, 5)) === 0) {
    clock.advance(2_000);
    waitedMs += 2_000;
  }
  expect(waitedMs).toBeGreaterThanOrEqual(LAPSE_MS);
  expect(waitedMs).toBeLessThanOrEqual(LAPSE_MS + 4_000);
});

test("alone it may use the whole by itself; a second one waits until it has heard that it may not", async () => {
  const { a, b, clock } = await stage({ [STREAMS]: 5n });
  await a.open(1);
  for (let beats = 0; beats < 5; beats += 1) {
    expect(a.sharePpm).toBe(0);
    clock.advance(1_000);
    await a.exchange();
  }
  expect(a.sharePpm).toBe(PPM);
  await b.open(2);
  expect(await b.exchange([[STREAMS, 1]])).toMatchObject([{ amount: 0n, mode: "scarce" }]);
  await a.exchange();
  expect(a.sharePpm).toBe(0);
  expect(await b.take(STREAMS, 1)).toBe(0);
  await a.exchange();
  expect(await b.take(STREAMS, 1)).toBe(1);
});

test("after a crash nothing is granted until every gateway of before has spoken; at most until none can count", async () => {
  const { a, b, crash, clock } = await stage({ [STREAMS]: 5n, [REQUESTS]: 5n });
  await a.open(1);
  await b.open(2);
  await a.exchange([
    [STREAMS, 3],
    [REQUESTS, 3],
  ]);
  await b.exchange();
  const seen = [seenNow("gw_a"), seenNow("gw_b")];
  await crash(seen);
  await b.open(4, 2);
  const ask = async () =>
    (
      await b.exchange([
        [STREAMS, 2],
        [REQUESTS, 2],
      ])
    ).map(({ amount, mode }) => [amount, mode]);
  expect(await ask()).toEqual([
    [0n, "scarce"],
    [0n, "scarce"],
  ]);
  await a.open(5, 1, [
    { resource: STREAMS, amount: 3n },
    { resource: REQUESTS, amount: 3n },
  ]);
  await a.exchange();
  expect((await ask()).map(([amount]) => amount)).toEqual([2n, 2n]);

  await crash(seen);
  await b.open(6, 4, [{ resource: STREAMS, amount: 2n }]);
  let waitedMs = 0;
  while ((await b.take(STREAMS, 2)) === 0) {
    clock.advance(2_000);
    waitedMs += 2_000;
  }
  expect(Math.abs(waitedMs - LAPSE_MS)).toBeLessThanOrEqual(2_000);
});

test("after a crash the use of a process that had just ended is not forgotten", async () => {
  const { a, crash, clock } = await stage({ [REQUESTS]: 5n, [STREAMS]: 5n });
  await a.open(1);
  await a.exchange([
    [REQUESTS, 5],
    [STREAMS, 5],
  ]);
  await a.open(2);
  await a.exchange();
  await crash([{ ...seenNow("gw_a"), predecessorAgoMs: 10_000 }]);
  await a.open(3, 2);
  const ask = async () =>
    (
      await a.exchange([
        [REQUESTS, 1],
        [STREAMS, 1],
      ])
    ).map(({ amount }) => amount);
  expect(await ask()).toEqual([0n, 1n]);
  for (let waited = 0; waited < 50_000; waited += 2_000) {
    clock.advance(2_000);
    await a.exchange();
  }
  expect(await ask()).toEqual([1n, 1n]);
});

test("no freeze on a first start, and none after a proper stop: what was used is remembered", async () => {
  const { a, b, restart, clock } = await stage({ [REQUESTS]: 5n, [STREAMS]: 5n });
  await a.open(1);
  expect(await a.take(REQUESTS, 3)).toBe(3);
  await a.leave();
  await restart([{ ...seenNow("gw_a"), left: true }]);
  await b.open(2);
  expect(await b.take(REQUESTS, 3)).toBe(0);
  expect(await b.take(REQUESTS, 2)).toBe(2);
  expect(await b.take(STREAMS, 5)).toBe(5);
  clock.advance(61_000);
  await restart();
  await a.open(3);
  expect(await a.take(REQUESTS, 3)).toBe(3);
  expect(await a.take(STREAMS, 1)).toBe(0);
});

test("a limit that is lowered calls slices home; removed, it grants; an unknown key is refused", async () => {
  const { a, b, limits, clock, recalled } = await stage({ [REQUESTS]: 1_000n, [SPEND]: 1_000n });
  await a.open(1);
  await b.open(2);
  await a.exchange([
    [REQUESTS, 1, 200],
    [SPEND, 1, 200],
  ]);
  await b.exchange();
  limits[REQUESTS] = 10n;
  limits[SPEND] = 10n;
  clock.advance(5_000);
  await b.exchange();
  expect(recalled).toEqual([
    ["gw_a", REQUESTS],
    ["gw_a", SPEND],
    ["gw_b", REQUESTS],
    ["gw_b", SPEND],
  ]);
  await a.exchange(
    [],
    [
      [REQUESTS, 195],
      [SPEND, 195],
    ],
  );
  const ask = () =>
    b.exchange([
      [REQUESTS, 6],
      [SPEND, 6],
    ]);
  await ask();
  clock.advance(200);
  expect((await ask()).map(({ mode }) => mode)).toEqual(["exhausted", "exhausted"]);
  limits[REQUESTS] = null;
  limits[SPEND] = null;
  expect((await ask()).map(({ amount }) => amount)).toEqual([6n, 6n]);
  expect(await b.take("requests:key:key_gone", 1)).toBe(0);
});
