// Databases for tests: one embedded Postgres a test process, one migrated template, a fresh copy for each suite.
// Invariant: nothing survives the process; only tests import this file.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase, type Database } from "./database.ts";
import { openEmbeddedPostgres, type EmbeddedPostgres } from "./embedded.ts";
import { migrate } from "./migrate.ts";

const TEMPLATE = "intertie_template";

let shared: Promise<EmbeddedPostgres> | undefined;
let made = 0;

async function openShared(): Promise<EmbeddedPostgres> {
  const folder = mkdtempSync(join(tmpdir(), "intertie-test-"));
  const server = await openEmbeddedPostgres({ folder, unsafeFast: true });
  process.once("exit", () => {
    process.kill(server.pid, "SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  const admin = openDatabase(server.url);
  await admin.pool.query(`create database ${TEMPLATE}`);
  await admin.close();
  const template = openDatabase(urlOf(server, TEMPLATE));
  await migrate(template.pool);
  await template.close();
  return server;
}

function urlOf(server: EmbeddedPostgres, database: string): string {
  return server.url.replace(/\/postgres$/, `/${database}`);
}

export interface TestDatabase extends Database {
  readonly url: string;
}

/** A fresh, migrated database; `close` drops it. */
export async function openTestDatabase(): Promise<TestDatabase> {
  shared ??= openShared();
  const server = await shared;
  made += 1;
  const name = `test_${made}`;
  const admin = openDatabase(server.url, { connectionsMax: 1 });
  await admin.pool.query(`create database ${name} template ${TEMPLATE} strategy file_copy`);
  const url = urlOf(server, name);
  const database = openDatabase(url);
  return {
    ...database,
    url,
    close: async () => {
      await database.close();
      await admin.pool.query(`drop database ${name} with (force)`);
      await admin.close();
    },
  };
}
