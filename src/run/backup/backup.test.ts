import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { openDatabase } from "../../db/database.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { makeMasterKey } from "../../kit/secret.ts";
import { pack, unpack } from "./archive.ts";
import { backup } from "./backup.ts";
import { restore, type RestoreOptions } from "./restore.ts";
import { migrateTo } from "./target.ts";

const master = makeMasterKey();
const folder = mkdtempSync(join(tmpdir(), "intertie-backup-test-"));
const dataDir = join(folder, "data");
const file = join(folder, "backup.tar.gz");
let source: TestDatabase;

/** Rows of every awkward kind: big numbers, bytes, JSON with quotes, U+2028, an empty array, microseconds. */
async function fill(pool: pg.Pool): Promise<void> {
  await pool.query(`
    insert into firms (id, name, signing_public_key, signing_private_sealed, created_at)
      values ('firm_1', E'Firm "A"\\u2028\\nnext', 'pub', '\\x00ff0a', '2026-01-02 03:04:05.678901+00');
    insert into organisations (id, firm_id, name, created_at) values ('org_1', 'firm_1', 'Org', now()), ('org_2', 'firm_1', 'Other', now());
    insert into projects (id, organisation_id, name, monthly_spend_limit_pico, created_at)
      values ('proj_1', 'org_1', 'P', 12345678901234567890123456789012345678, now());
    insert into audit_outbox values ('aud_1', 'org_1', 'key_1', 'keys.create', 'key_2', '{"a":"\\"x\\"","b":[]}', now());
    insert into ledger_cursors (gateway, lane, received, posted) values ('gw_1', 0, 2, 2);
    insert into ledger_entries (gateway, lane, sequence, account, organisation_ref, project_ref, model_version_ref, price_version_ref, fact_count, amount_pico, posted_at)
      select 'gw_1', 0, n, account, 1, 1, 1, 1, 1, amount * n, now() from generate_series(1, 1500) n,
        (values ('revenue', -7::numeric), ('receivable', 7::numeric)) as sides (account, amount);
    select nextval('snapshot_sequence'), nextval('snapshot_sequence');
  `);
}

const emptyDatabase = async (name: string) => {
  const url = `${source.url.slice(0, source.url.lastIndexOf("/"))}/${name}`;
  await source.pool.query(`create database ${name}`);
  return { url, drop: () => source.pool.query(`drop database ${name} with (force)`) };
};

async function contentsOf(pool: pg.Pool): Promise<Record<string, string[]>> {
  const tables = await pool.query<{ name: string }>(
    "select tablename as name from pg_tables where schemaname = 'public' and tablename not in ('migrations', 'snapshot_dirty') order by 1",
  );
  const contents: Record<string, string[]> = {};
  for (const { name } of tables.rows) {
    const rows = await pool.query<{ line: string }>(
      `select row_to_json(t)::text as line from ${name} t order by 1`,
    );
    contents[name] = rows.rows.map((row) => row.line);
  }
  return contents;
}

const restoreInto = (url: string, options: Partial<RestoreOptions> = {}) =>
  restore(
    { migrateTo, openTarget: async () => ({ url, close: async () => {} }) },
    { file, dataDir: join(folder, "restored"), master, ...options },
  );

async function refusal(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "not refused",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

beforeAll(async () => {
  source = await openTestDatabase();
  await fill(source.pool);
  for (const [path, text] of [
    ["identity.json", "{}"],
    ["journal/0-3.segment", "records"],
    ["snapshot/manifest.json", "{}"],
  ] as const) {
    mkdirSync(join(dataDir, "gateways", "0", path, ".."), { recursive: true });
    writeFileSync(join(dataDir, "gateways", "0", path), text);
  }
  await backup({ databaseUrl: source.url, dataDir, master, version: "0.1.0", file });
});

afterAll(async () => {
  await source.close();
  rmSync(folder, { recursive: true, force: true });
});

test("a round trip gives the same rows, journals and a ledger that still adds up", async () => {
  const target = await emptyDatabase(`restored_${process.pid}`);
  const restored = await restoreInto(target.url);
  const copy = openDatabase(target.url);
  expect(await contentsOf(copy.pool)).toEqual(await contentsOf(source.pool));
  const { rows } = await copy.pool.query<{ sum: bigint; count: bigint }>(
    "select sum(amount_pico) as sum, count(*) as count from ledger_entries",
  );
  expect(rows[0]).toEqual({ sum: 0n, count: 3000n });
  expect(restored.rows).toBeGreaterThan(3000);
  const next = await copy.pool.query<{ ref: number }>(
    "insert into organisations (id, firm_id, name, created_at) values ('org_3', 'firm_1', 'x', now()) returning ref",
  );
  expect(next.rows[0]?.ref).toBe(3);
  const snapshot = await copy.pool.query<{ next: bigint }>(
    "select nextval('snapshot_sequence') as next",
  );
  expect(Number(snapshot.rows[0]?.next)).toBeGreaterThan(1_000_000);
  expect(
    readFileSync(join(folder, "restored", "gateways", "0", "journal", "0-3.segment"), "utf8"),
  ).toBe("records");
  expect(existsSync(join(folder, "restored", "gateways", "0", "snapshot"))).toBe(false);
  await copy.close();
  await target.drop();
});

test("the backup holds no master key, and another master key is refused before anything is written", async () => {
  expect(
    await Bun.file(file)
      .arrayBuffer()
      .then((bytes) => Buffer.from(bytes).includes(Buffer.from(master))),
  ).toBe(false);
  const target = await emptyDatabase(`foreign_${process.pid}`);
  expect(await refusal(restoreInto(target.url, { master: makeMasterKey() }))).toContain(
    "is not the one that the backup was made with",
  );
  const copy = openDatabase(target.url);
  const { rows } = await copy.pool.query("select 1 from pg_tables where schemaname = 'public'");
  expect(rows).toEqual([]);
  await copy.close();
  await target.drop();
});

test("a database that holds anything is refused", async () => {
  expect(await refusal(restoreInto(source.url))).toContain("the database is not empty");
});

test("nobody else on the machine may read it", () => {
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test.each([
  ["its manifest does not name gateways/0/planted", (path: string) => writeFileSync(path, "x")],
  ["gateways/0/planted is no plain file", (path: string) => symlinkSync("/etc/passwd", path)],
])("an archive with something planted in it is refused: %s", async (why, plant) => {
  const open = mkdtempSync(join(folder, "planted-"));
  await unpack(file, open);
  plant(join(open, "gateways", "0", "planted"));
  await pack(open, `${open}.tar.gz`);
  expect(await refusal(restoreInto("postgres://unused", { file: `${open}.tar.gz` }))).toBe(
    `the backup is damaged: ${why}`,
  );
});

test("a table whose rows lie in a file that is not named is refused", async () => {
  const open = mkdtempSync(join(folder, "unnamed-"));
  await unpack(file, open);
  const path = join(open, "manifest.json");
  const manifest = JSON.parse(readFileSync(path, "utf8"));
  const other = { ...manifest, tables: [{ name: "firms", rows: 0, file: "elsewhere" }] };
  writeFileSync(path, JSON.stringify(other));
  await pack(open, `${open}.tar.gz`);
  expect(await refusal(restoreInto("postgres://unused", { file: `${open}.tar.gz` }))).toBe(
    "the backup is damaged: its manifest does not name elsewhere",
  );
});

test("a changed file is named and refused", async () => {
  const open = join(folder, "open");
  mkdirSync(open);
  await unpack(file, open);
  writeFileSync(join(open, "tables", "firms.ndjson"), "{}\n");
  const bent = join(folder, "bent.tar.gz");
  await pack(open, bent);
  expect(await refusal(restoreInto("postgres://unused", { file: bent }))).toBe(
    "the backup is damaged: tables/firms.ndjson is not what was written",
  );
});

test("something else than a backup is refused", async () => {
  writeFileSync(join(folder, "no.tar.gz"), "hello");
  expect(
    await refusal(restoreInto("postgres://unused", { file: join(folder, "no.tar.gz") })),
  ).toContain("failed");
});
