// For tests: a fresh, migrated database a call, on one embedded Postgres that all test files and runs of this checkout share.
// Invariant: the server is started by the first user, ends seconds after the last one, and its data is disposable.

import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { openDatabase, type Database } from "./database.ts";
import { startEmbedded, type EmbeddedPostgres } from "./embedded.ts";
import { migrate, readMigrations } from "./migrate.ts";

const ROOT = join(import.meta.dir, "..", "..");
const FOLDER = join(ROOT, "node_modules", ".cache", "intertie-test-postgres");

export interface TestDatabase extends Database {
  readonly url: string;
}

/** Ends the server (fast shutdown) once no process that signed in under users/ is alive. */
const WATCH = `cd "$1" && while sleep 5; do
  for user in users/*; do kill -0 "\${user#users/}" 2>/dev/null || rm -f "$user"; done
  [ -z "$(ls users)" ] && kill -INT "$2" && exit
done`;

async function startShared(): Promise<EmbeddedPostgres> {
  mkdirSync(join(FOLDER, "users"), { recursive: true });
  writeFileSync(join(FOLDER, "users", String(process.pid)), "");
  const server = await startEmbedded({ folder: FOLDER, durable: false });
  if (!server.attached) {
    spawn("/bin/sh", ["-c", WATCH, "watch", FOLDER, String(server.pid)], {
      detached: true,
      stdio: "ignore",
    }).unref();
  }
  return server;
}

const named = (url: string, name: string) => `${url.slice(0, url.lastIndexOf("/"))}/${name}`;

/** A template is finished once its name has no `_new`; the name is the digest of the migrations. */
async function ensureTemplate(url: string): Promise<string> {
  const digests = (await readMigrations()).map((migration) => migration.digest);
  const name = `template_${createHash("sha256").update(digests.join()).digest("hex").slice(0, 16)}`;
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("select pg_advisory_lock(1)");
    const found = await client.query("select 1 from pg_database where datname = $1", [name]);
    if (found.rowCount === 0) {
      await client.query(`drop database if exists ${name}_new with (force)`);
      await client.query(`create database ${name}_new`);
      const fresh = openDatabase(named(url, `${name}_new`), { connectionsMax: 1 });
      await migrate(fresh.pool);
      await fresh.close();
      await client.query(`alter database ${name}_new rename to ${name}`);
    }
  } finally {
    await client.end();
  }
  return name;
}

interface Shared {
  readonly url: string;
  /** Creates and drops databases; idle, it does not keep the test process alive. */
  readonly admin: Database;
  readonly template: string;
}

async function openShared(): Promise<Shared> {
  const { url } = await startShared();
  const template = await ensureTemplate(url);
  return { url, template, admin: openDatabase(url, { connectionsMax: 2 }) };
}

let shared: Promise<Shared> | undefined;

export async function openTestDatabase(): Promise<TestDatabase> {
  shared ??= openShared();
  const { url, admin, template } = await shared;
  const name = `test_${process.pid}_${randomBytes(6).toString("hex")}`;
  await admin.pool.query(`create database ${name} template ${template} strategy file_copy`);
  const database = openDatabase(named(url, name));
  return {
    ...database,
    url: named(url, name),
    close: async () => {
      await database.close();
      await admin.pool.query(`drop database ${name} with (force)`);
    },
  };
}
