// Migrations: numbered SQL files, forward only, each in its own transaction together with its row in `migrations`.
// Invariants: the row's insert comes first, so that two runners collide before any change; an applied file never changes;
// a database that knows migrations this code does not is refused.

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type pg from "pg";
import { Fault } from "../kit/fault.ts";

export const MIGRATIONS_FOLDER = join(import.meta.dir, "..", "..", "migrations");
/** Any constant of ours; runners of one database wait for each other on it. */
const LOCK = 4_110_411_041;

export interface Migration {
  readonly name: string;
  readonly sql: string;
  readonly digest: string;
}

export async function readMigrations(folder = MIGRATIONS_FOLDER): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => /^\d{4}_.+\.sql$/.test(name)).sort();
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(join(folder, name), "utf8");
      return { name, sql, digest: createHash("sha256").update(sql).digest("hex") };
    }),
  );
}

/** What these files and a database have of each other. */
export interface Standing {
  readonly applied: readonly string[];
  readonly pending: readonly string[];
  /** Applied there, unknown here: a newer version was at work. */
  readonly unknown: readonly string[];
}

export async function compareMigrations(applied: readonly string[]): Promise<Standing> {
  const files = (await readMigrations()).map(({ name }) => name);
  return {
    applied,
    pending: files.filter((name) => !applied.includes(name)),
    unknown: applied.filter((name) => !files.includes(name)),
  };
}

interface Applied {
  readonly name: string;
  readonly digest: string;
}

/** Throws `database.newer` or an Error naming the file when the database does not fit these files. */
function refuseMisfit(applied: readonly Applied[], known: readonly Migration[]): void {
  const digests = new Map(known.map((migration) => [migration.name, migration.digest]));
  for (const { name, digest } of applied) {
    const expected = digests.get(name);
    if (expected === undefined) {
      throw new Fault("database.newer", {
        message: `the database has migration ${name}, which this version does not know`,
        hint: "start the newer version of intertie, or restore a backup made before the upgrade",
      });
    }
    if (expected !== digest) throw new Error(`migration ${name} was changed after it was applied`);
  }
}

async function apply(client: pg.PoolClient, migration: Migration): Promise<void> {
  await client.query("begin");
  try {
    await client.query("insert into migrations (name, digest) values ($1, $2)", [
      migration.name,
      migration.digest,
    ]);
    await client.query(migration.sql);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw new Error(`migration ${migration.name} failed`, { cause: error });
  }
}

/** Applies what is missing; answers the names applied now. */
export async function migrate(pool: pg.Pool, folder = MIGRATIONS_FOLDER): Promise<string[]> {
  const known = await readMigrations(folder);
  const client = await pool.connect();
  try {
    await client.query("select pg_advisory_lock($1)", [LOCK]);
    await client.query(
      "create table if not exists migrations (name text primary key, digest text not null, applied_at timestamptz not null default now())",
    );
    const { rows } = await client.query<Applied>(
      "select name, digest from migrations order by name",
    );
    refuseMisfit(rows, known);
    const done = new Set(rows.map((row) => row.name));
    const missing = known.filter((migration) => !done.has(migration.name));
    for (const migration of missing) await apply(client, migration);
    return missing.map((migration) => migration.name);
  } finally {
    await client.query("select pg_advisory_unlock($1)", [LOCK]);
    client.release();
  }
}
