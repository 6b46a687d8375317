import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { readPriceTerms } from "../prices/service.ts";
import { fakeJournal, seedTenant, type Tenant } from "../tenant.fixture.ts";
import type { Pause } from "../../kit/pause.ts";
import { openPoster, type Poster } from "./jobs.ts";
import { openLedger } from "./posting.fixture.ts";

let database: TestDatabase;
let ledger: ReturnType<typeof openLedger>;
let tenant: Tenant;
let poster: Poster | undefined;

beforeAll(async () => {
  database = await openTestDatabase();
  ledger = openLedger(database, readPriceTerms);
  tenant = await seedTenant(database);
});
afterEach(() => poster?.close());
afterAll(() => database.close());

/** A pause that a test sees begin and ends by hand; closing ends it too. */
function handPause() {
  const begun: { ms: number; end: () => void }[] = [];
  let heard = Promise.withResolvers<void>();
  const pause: Pause = (ms, signal) =>
    new Promise((end) => {
      signal.addEventListener("abort", () => end());
      if (signal.aborted) end();
      begun.push({ ms, end });
      heard.resolve();
      heard = Promise.withResolvers();
    });
  return {
    pause,
    /** The length of the next pause, once it has begun. */
    next: async (): Promise<number> => {
      while (begun.length === 0) await heard.promise;
      const { ms } = begun[0] ?? { ms: -1 };
      return ms;
    },
    end: () => begun.shift()?.end(),
  };
}

const postedOf = async (gateway: string) => {
  const row = await database.db
    .selectFrom("ledger_cursors")
    .select("posted")
    .where("gateway", "=", gateway)
    .executeTakeFirst();
  return row?.posted;
};

test("a backlog of more than a batch is posted without a pause, and what comes later with the next look", async () => {
  const journal = fakeJournal();
  for (let count = 0; count < 33; count += 1) await ledger.receive(journal, [tenant.fact()]);
  const hand = handPause();
  poster = openPoster(ledger.deps, hand.pause);
  expect(await hand.next()).toBe(200);
  expect(await postedOf(journal.gateway)).toBe(33);
  await ledger.receive(journal, [tenant.fact()]);
  hand.end();
  await hand.next();
  expect(await postedOf(journal.gateway)).toBe(34);
});

test("while the database is away it looks less and less often, and goes on as before once it is back", async () => {
  const journal = fakeJournal();
  await ledger.receive(journal, [tenant.fact()]);
  let away = true;
  const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  const hand = handPause();
  poster = openPoster(
    {
      ...ledger.deps,
      inTransaction: (work) => (away ? Promise.reject(refused) : ledger.deps.inTransaction(work)),
    },
    hand.pause,
  );
  for (const ms of [400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]) {
    expect(await hand.next()).toBe(ms);
    hand.end();
  }
  expect(await hand.next()).toBe(10_000);
  expect(await postedOf(journal.gateway)).toBe(0);
  away = false;
  hand.end();
  expect(await hand.next()).toBe(200);
  expect(await postedOf(journal.gateway)).toBe(1);
});

test("close waits for the batch that runs, which is posted whole", async () => {
  const journal = fakeJournal();
  await ledger.receive(journal, [tenant.fact()]);
  const inside = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  poster = openPoster({
    ...ledger.deps,
    settleSpend: () => {
      inside.resolve();
      return release.promise;
    },
  });
  await inside.promise;
  let closed = false;
  const closing = poster.close().then(() => (closed = true));
  await database.pool.query("select 1");
  expect(closed).toBe(false);
  release.resolve();
  await closing;
  expect(await postedOf(journal.gateway)).toBe(1);
});

test("close ends a pause at once", async () => {
  const looked = Promise.withResolvers<void>();
  const own = openPoster({
    ...ledger.deps,
    inTransaction: async () => {
      looked.resolve();
      throw new Error("always");
    },
  });
  await looked.promise;
  const sinceMs = performance.now();
  await own.close();
  expect(performance.now() - sinceMs).toBeLessThan(200);
});
