// The embedded Postgres of `intertie up`: one folder, one server, one database, kept between runs.
// Invariants: the password is random, in a file of mode 0600; a server that survived us is taken up again, never started twice.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { Client } from "pg";
import { Fault } from "../kit/fault.ts";
import {
  attachServer,
  findServer,
  initialiseServer,
  startServer,
  stopServer,
  SUPERUSER,
  type RunningServer,
} from "./postgres-process.ts";

export interface EmbeddedOptions {
  /** For example `.intertie/postgres`. */
  readonly folder: string;
  readonly durable?: boolean;
  /** After a crash: the port that others already know. */
  readonly port?: number;
}

export interface EmbeddedPostgres {
  /** `postgres://…/intertie`; holds the password, so never log it. */
  readonly url: string;
  readonly pid: number;
  readonly port: number;
  /** True when a server that already ran was taken up. */
  readonly attached: boolean;
  stop(): Promise<void>;
}

const DATABASE = "intertie";
/** `DATA_VERSION` of the binaries we ship; another major version cannot read the files. */
const MAJOR = "18";

function readOrMakePassword(file: string): string {
  if (!existsSync(file))
    writeFileSync(file, randomBytes(24).toString("base64url"), { mode: 0o600 });
  return readFileSync(file, "utf8");
}

function refuseOtherVersion(folder: string): void {
  const found = readFileSync(join(folder, "data", "PG_VERSION"), "utf8").trim();
  if (found === MAJOR) return;
  throw new Fault("database.unavailable", {
    message: `${folder} was written by Postgres ${found}, this version of intertie brings Postgres ${MAJOR}`,
    hint: "make a backup with the version that wrote it and restore it with this one",
  });
}

async function createDatabase(url: string, name: string): Promise<void> {
  const client = new Client({ connectionString: `${url}/postgres` });
  await client.connect();
  try {
    const found = await client.query("select 1 from pg_database where datname = $1", [name]);
    if (found.rowCount === 0)
      await client.query(`create database ${client.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
}

export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { folder, durable = true, port } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const passwordFile = join(folder, "password");
  const password = readOrMakePassword(passwordFile);
  await initialiseServer({ folder, durable }, passwordFile);
  refuseOtherVersion(folder);
  const running = findServer(folder);
  const server: RunningServer = running
    ? await attachServer(folder, running)
    : await startServer({ folder, durable, port });
  const url = `postgres://${SUPERUSER}:${password}@127.0.0.1:${server.port}`;
  await createDatabase(url, DATABASE);
  return {
    url: `${url}/${DATABASE}`,
    pid: server.pid,
    port: server.port,
    attached: running !== undefined,
    stop: () => stopServer(server.pid),
  };
}
