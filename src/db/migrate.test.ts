import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generateSchema } from "./generate.ts";
import { migrate, readMigrations } from "./migrate.ts";
import { openTestDatabase, type TestDatabase } from "./test-database.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());

function folderWith(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), "migrations-"));
  for (const [name, sql] of Object.entries(files)) writeFileSync(join(folder, name), sql);
  return folder;
}

test("a migrated database needs nothing more", async () => {
  expect(await migrate(database.pool)).toEqual([]);
});

test("two runners at once apply each file once", async () => {
  const known = await readMigrations();
  const files = Object.fromEntries(known.map((migration) => [migration.name, migration.sql]));
  const folder = folderWith({ ...files, "9001_t.sql": "create table t (a integer)" });
  const names = await Promise.all([migrate(database.pool, folder), migrate(database.pool, folder)]);
  expect(names.flat()).toEqual(["9001_t.sql"]);
});

test("a database with a migration that this code lacks is refused as newer", async () => {
  expect(migrate(database.pool)).rejects.toMatchObject({ code: "database.newer" });
  await database.pool.query("delete from migrations where name = '9001_t.sql'");
});

test("a failing migration leaves nothing behind and is named", async () => {
  const known = await readMigrations();
  const files = Object.fromEntries(known.map((migration) => [migration.name, migration.sql]));
  const folder = folderWith({
    ...files,
    "9002_bad.sql": "create table half (a integer); select no_such_column",
  });
  expect(migrate(database.pool, folder)).rejects.toThrow("9002_bad.sql");
  const { rows } = await database.pool.query("select to_regclass('half') as half");
  expect(rows[0]).toEqual({ half: null });
});

test("an applied file that was changed is refused by name", async () => {
  const known = await readMigrations();
  const files = Object.fromEntries(known.map((migration) => [migration.name, `${migration.sql} `]));
  expect(migrate(database.pool, folderWith(files))).rejects.toThrow(
    "0001_identity_orgs.sql was changed",
  );
});

test("the first line of each migration names its room", async () => {
  for (const migration of await readMigrations()) {
    expect(migration.sql.split("\n")[0]).toMatch(/^-- [a-z]+\/[a-z]+: /);
  }
});

test("schema.gen.ts is what the migrations make", async () => {
  const fresh = await openTestDatabase();
  expect(readFileSync(join(import.meta.dir, "schema.gen.ts"), "utf8")).toBe(
    await generateSchema(fresh.db),
  );
  await fresh.close();
});
