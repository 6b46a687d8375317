import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import type { Transaction } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { manualClock } from "../../kit/clock.ts";
import { silentLog } from "../../kit/log.ts";
import { PPM } from "./rules.ts";
import { openLeaseGiver } from "./service.ts";
import { releaseEndedLives, settleSpend } from "./spend.ts";
import type { LeaseGive, LeaseGiver, LeaseResource, SeenGateway } from "./types.ts";

const REQUESTS: LeaseResource = "requests:key:key_a";
const STREAMS: LeaseResource = "streams:key:key_a";
const SPEND: LeaseResource = "spend:project:proj_a:2025-11";
const TERMS = { windowTermMs: 90_000, lostMs: 6_000, shareMs: 90_000 };
const LAPSE_MS = 6_000 + 90_000 + 60_000;

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());
beforeEach(() =>
  database.pool.query("truncate spend_grants, spend_budgets, lease_handovers cascade"),
);

let isDown = false;
const inTransaction = <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
  isDown ? Promise.reject(new Error("Postgres is away")) : database.db.transaction().execute(work);

/** A gateway's end of the exchange, bare. */
function gatewayOf(giver: () => LeaseGiver, gateway: string) {
  let [epoch, sequence, sharePpm] = [0, 0, 0];
  let declared: readonly LeaseGive[] = [];
  const exchange = async (
    takes: [LeaseResource, number, number?][] = [],
    gives: [LeaseResource, number][] = [],
  ) => {
    sequence += 1;
    const answer = await giver().exchange({
      gateway,
      epoch,
      sequence,
      sharePpm,
      declares: sequence === 1 ? declared : [],
      takes: takes.map(([resource, need, want = need]) => ({
        resource,
        need: BigInt(need),
        want: BigInt(want),
      })),
      gives: gives.map(([resource, amount]) => ({ resource, amount: BigInt(amount) })),
    });
    sharePpm = answer.sharePpm;
    return answer.grants;
  };
  return {
    exchange,
    open: (next: number, resumes: number | null = null, declares: readonly LeaseGive[] = []) => {
      [epoch, sequence, declared] = [next, 0, declares];
      if (resumes === null) sharePpm = 0;
      return giver().open({ gateway, epoch, resumes, recoveredUpTo: 7 });
    },
    take: async (resource: LeaseResource, need: number, want?: number) =>
      Number((await exchange([[resource, need, want ?? need]]))[0]?.amount),
    give: (resource: LeaseResource, amount: number) => exchange([], [[resource, amount]]),
    jump: () => void (sequence += 1),
    leave: () => giver().leave(gateway, epoch),
    get sharePpm() {
      return sharePpm;
    },
  };
}

async function stage(limits: Partial<Record<LeaseResource, bigint | null>>) {
  const clock = manualClock();
  const recalled: [string, LeaseResource][] = [];
  const deps = {
    inTransaction,
    limitOf: (resource: LeaseResource) => limits[resource],
    clock,
    log: silentLog,
    terms: TERMS,
  };
  const listen = (giver: LeaseGiver) => {
    giver.onRecall((gateway, resources) =>
      recalled.push(...resources.map((each): [string, LeaseResource] => [gateway, each])),
    );
    return giver;
  };
  let giver = listen(await openLeaseGiver(deps, []));
  return {
    clock,
    limits,
    recalled,
    a: gatewayOf(() => giver, "gw_a"),
    b: gatewayOf(() => giver, "gw_b"),
    /** Without goodbye: control was killed. */
    crash: async (seen: readonly SeenGateway[]) => {
      giver = listen(await openLeaseGiver(deps, seen));
    },
    restart: async (seen: readonly SeenGateway[] = []) => {
      await giver.close();
      giver = listen(await openLeaseGiver(deps, seen));
    },
  };
}

const balance = async () => {
  const { rows } = await database.pool.query(
    "select settled_pico, granted_pico from spend_budgets where resource = $1",
    [SPEND],
  );
  return rows.map((row) => [Number(row.settled_pico), Number(row.granted_pico)])[0];
};

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
  expect(await balance()).toEqual([0, 30]);
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
  const seen = [
    { gateway: "gw_a", agoMs: 0, left: false },
    { gateway: "gw_b", agoMs: 0, left: false },
  ];
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

test("no freeze on a first start, and none after a proper stop: what was used is remembered", async () => {
  const { a, b, restart, clock } = await stage({ [REQUESTS]: 5n, [STREAMS]: 5n });
  await a.open(1);
  expect(await a.take(REQUESTS, 3)).toBe(3);
  await a.leave();
  await restart([{ gateway: "gw_a", agoMs: 0, left: true }]);
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

test("money: the last cents go to exactly one gateway", async () => {
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

test("money: posting moves from granted to settled, a dead life's rest is free once its journal is posted", async () => {
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

test("money: used beyond what was granted is settled all the same, and made up by the next grant", async () => {
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
