import { afterAll, beforeAll, expect, test } from "bun:test";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { manualClock, systemClock, systemDice } from "../../kit/clock.ts";
import { makeId } from "../../kit/id.ts";
import { createGatewaysService, SEEN_EVERY_MS } from "./service.ts";

let database: TestDatabase;
const clock = manualClock();

beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());

const service = () => createGatewaysService({ db: database.db, clock });
const identity = (gateway: string = makeId("gw", systemClock, systemDice)) => ({
  gateway,
  cell: "local",
  address: "http://127.0.0.1:4100",
  productVersion: "0.1.0",
});
const find = async (gateway: string) => (await service().list()).find(({ id }) => id === gateway);

test("each session gets a higher epoch, also when many ask at once and across restarts of control", async () => {
  const mine = identity();
  const epochs = await Promise.all(Array.from({ length: 8 }, () => service().open(mine)));
  expect(epochs.toSorted((left, right) => left - right)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(await service().open({ ...mine, productVersion: "0.2.0" })).toBe(9);
  expect(await find(mine.gateway)).toMatchObject({ epoch: 9, productVersion: "0.2.0" });
});

test("seen is written at most every two seconds, and not by a superseded epoch", async () => {
  const mine = identity();
  const live = service();
  await live.open(mine);
  const openedAt = clock.nowMs();
  clock.advance(SEEN_EVERY_MS - 1);
  await live.seen(mine.gateway, 1);
  expect((await find(mine.gateway))?.seenAt.getTime()).toBe(openedAt);
  clock.advance(1);
  await live.seen(mine.gateway, 1);
  expect((await find(mine.gateway))?.seenAt.getTime()).toBe(openedAt + SEEN_EVERY_MS);
  clock.advance(SEEN_EVERY_MS);
  await live.seen(mine.gateway, 0);
  expect((await find(mine.gateway))?.seenAt.getTime()).toBe(openedAt + SEEN_EVERY_MS);
});

test("who said goodbye is not listed, yet known to have left, until it comes back", async () => {
  const mine = identity();
  await service().open(mine);
  await service().leave(mine.gateway, 1);
  expect(await find(mine.gateway)).toBeUndefined();
  const known = async () =>
    (await service().seenSince(60_000)).find(({ gateway }) => gateway === mine.gateway);
  expect(await known()).toMatchObject({ left: true });
  await service().open(mine);
  expect(await known()).toMatchObject({ left: false });
  await service().leave(mine.gateway, 1);
  expect(await find(mine.gateway)).toBeDefined();
});

test("a gateway was seen more recently than what is written says, never less", async () => {
  const mine = identity();
  await service().open(mine);
  clock.advance(60_000);
  const known = (withinMs: number) =>
    service()
      .seenSince(withinMs)
      .then((all) => all.find(({ gateway }) => gateway === mine.gateway));
  expect(await known(60_000)).toEqual({
    gateway: mine.gateway,
    agoMs: 60_000 - SEEN_EVERY_MS,
    left: false,
    predecessorAgoMs: null,
  });
  expect(await known(57_000)).toBeUndefined();
  await service().open(mine);
  clock.advance(5_000);
  expect(await known(60_000)).toMatchObject({ predecessorAgoMs: 5_000 });
});
