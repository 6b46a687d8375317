// `intertie backup`: one consistent copy while everything runs. The database as of one instant, and the journals of exactly that instant.
// Invariant: while the journals are copied no segment can be committed (a share lock on the cursors), so each segment is
// either in the database's copy or in the journals' copy; restoring can neither lose nor double one.

import { createWriteStream } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import pg from "pg";
import { finished } from "node:stream/promises";
import { CHECKPOINT, TAIL } from "../../gateway/journal/recover.ts";
import type { MasterKey } from "../../kit/secret.ts";
import {
  digestOfFile,
  fingerprintOf,
  pack,
  plainFilesIn,
  writeManifest,
  type Manifest,
} from "./archive.ts";

export interface BackupOptions {
  readonly databaseUrl: string;
  /** Holds `gateways/<slot>/{identity.json,journal/}`. */
  readonly dataDir: string;
  readonly master: MasterKey;
  readonly version: string;
  readonly file: string;
}

export interface BackupMade {
  readonly file: string;
  readonly bytes: number;
  readonly tables: number;
  readonly rows: number;
  readonly masterKeyFingerprint: string;
}

const ROWS_AT_ONCE = 1_000;

interface Named {
  readonly name: string;
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

/** One row of JSON a line: exact for every type we use, and independent of the order of columns. */
async function dumpTable(client: pg.Client, table: string, path: string): Promise<number> {
  const out = createWriteStream(path, { mode: 0o600 });
  await client.query(
    `declare dump no scroll cursor for select row_to_json(t)::text as line from ${pg.escapeIdentifier(table)} t`,
  );
  let rows = 0;
  for (;;) {
    const page = await client.query<{ line: string }>(`fetch ${ROWS_AT_ONCE} from dump`);
    if (page.rows.length === 0) break;
    rows += page.rows.length;
    if (!out.write(`${page.rows.map((row) => row.line).join("\n")}\n`))
      await new Promise((drained) => void out.once("drain", drained));
  }
  await client.query("close dump");
  out.end();
  await finished(out);
  return rows;
}

const isMissing = (error: unknown) =>
  error instanceof Error && "code" in error && error.code === "ENOENT";

const copyIfThere = (from: string, to: string) =>
  cp(from, to).catch((error: unknown) => {
    if (!isMissing(error)) throw error;
  });

/**
 * Leaves a folder that a power loss could have left, which is what the journal's recovery is made for: segments first, then
 * the tail, then the checkpoint. A segment that is sealed under our eyes changes its name, so the folder is read until nothing is new.
 */
async function copyJournal(from: string, to: string): Promise<void> {
  const copied = new Set<string>([TAIL, CHECKPOINT]);
  const listed = () => readdir(from).catch((): string[] => []);
  for (
    let fresh = await listed();
    fresh.length > 0;
    fresh = (await listed()).filter((name) => !copied.has(name))
  ) {
    for (const name of fresh.filter((each) => !copied.has(each)).sort())
      await copyIfThere(join(from, name), join(to, name));
    for (const name of fresh) copied.add(name);
    if (fresh.every((name) => name === TAIL || name === CHECKPOINT)) break;
  }
  for (const name of [TAIL, CHECKPOINT]) await copyIfThere(join(from, name), join(to, name));
}

async function copyGateways(from: string, to: string): Promise<void> {
  for (const slot of await readdir(from).catch((): string[] => [])) {
    await copyIfThere(join(from, slot, "identity.json"), join(to, slot, "identity.json"));
    await copyJournal(join(from, slot, "journal"), join(to, slot, "journal"));
  }
}

async function filesUnder(folder: string): Promise<Manifest["files"]> {
  return Promise.all(
    (await plainFilesIn(folder)).map(async (path) => ({
      path,
      bytes: (await stat(join(folder, path))).size,
      sha256: await digestOfFile(join(folder, path)),
    })),
  );
}

/** Takes the database's instant and the journals together, then lets traffic go on while the tables are written. */
async function freeze(client: pg.Client, options: BackupOptions, folder: string): Promise<void> {
  const gate = await connect(options.databaseUrl);
  try {
    await gate.query("begin");
    await gate.query("lock table ledger_cursors in share mode");
    await client.query("begin isolation level repeatable read read only");
    await client.query("select 1");
    await copyGateways(join(options.dataDir, "gateways"), join(folder, "gateways"));
    await gate.query("commit");
  } finally {
    await gate.end();
  }
}

async function dumpDatabase(
  client: pg.Client,
  folder: string,
): Promise<Pick<Manifest, "migrations" | "tables" | "sequences">> {
  await mkdir(join(folder, "tables"), { mode: 0o700 });
  const names = await client.query<Named>(
    "select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'migrations' order by 1",
  );
  const tables = [];
  for (const { name } of names.rows) {
    const file = `tables/${name}.ndjson`;
    tables.push({ name, file, rows: await dumpTable(client, name, join(folder, file)) });
  }
  const migrations = await client.query<Named>("select name from migrations order by name");
  const sequences = await client.query<{ name: string; last: string }>(
    "select sequencename as name, last_value::text as last from pg_sequences where schemaname = 'public' and last_value is not null",
  );
  return {
    migrations: migrations.rows.map((row) => row.name),
    tables,
    sequences: Object.fromEntries(sequences.rows.map((row) => [row.name, row.last])),
  };
}

export async function backup(options: BackupOptions): Promise<BackupMade> {
  const file = resolve(options.file);
  const work = await mkdtemp(join(dirname(file), ".intertie-backup-"));
  const client = await connect(options.databaseUrl);
  try {
    const folder = join(work, "content");
    await mkdir(folder, { mode: 0o700 });
    await freeze(client, options, folder);
    const dumped = await dumpDatabase(client, folder);
    await client.query("commit");
    const masterKeyFingerprint = fingerprintOf(options.master);
    const takenAt = new Date().toISOString();
    await writeManifest(folder, {
      format: 1,
      version: options.version,
      takenAt,
      masterKeyFingerprint,
      ...dumped,
      files: await filesUnder(folder),
    });
    const partial = join(work, basename(file));
    await pack(folder, partial);
    // HMACs, ciphertexts, who called what: nobody else's to read.
    await chmod(partial, 0o600);
    await rename(partial, file);
    const rows = dumped.tables.reduce((sum, table) => sum + table.rows, 0);
    return {
      file,
      bytes: (await stat(file)).size,
      tables: dumped.tables.length,
      rows,
      masterKeyFingerprint,
    };
  } finally {
    await client.end();
    await rm(work, { recursive: true, force: true });
  }
}
