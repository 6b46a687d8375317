// The look at a database that `intertie doctor` takes, on real ones.

import { afterAll, expect, test } from "bun:test";
import { openTestDatabase } from "../db/test-database.ts";
import { probeDatabase } from "./probe-database.ts";

const database = await openTestDatabase();
afterAll(() => database.close());

test("a migrated database has nothing pending, and names the lanes that are frozen", async () => {
  expect(await probeDatabase(database.url)).toMatchObject({ pending: [], unknown: [], frozen: [] });
  await database.pool.query(
    "insert into ledger_cursors (gateway, lane, frozen_reason) values ('gw_a', 0, 'segment 2: fork'), ('gw_b', 0, null)",
  );
  const { frozen } = await probeDatabase(database.url);
  expect(frozen).toEqual(["gw_a lane 0: segment 2: fork"]);
});

test("a database before any migration: all of them are pending, nothing else is asked of it", async () => {
  await database.pool.query("create schema bare");
  const probe = await probeDatabase(`${database.url}?options=-csearch_path%3Dbare`);
  expect(probe.pending.length).toBeGreaterThan(0);
  expect(probe.frozen).toEqual([]);
});
