// `intertie restore`: fills an empty database and an empty data folder from a backup.
// Invariants: everything is verified before anything is written; the rows go in within one transaction; a target that holds anything is refused.

import { createReadStream } from "node:fs";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import pg from "pg";
import type { MasterKey } from "../../kit/secret.ts";
import { fingerprintOf, readManifest, unpack, type Manifest } from "./archive.ts";

export interface RestoreDeps {
  /** Applies exactly the migrations of these names to the empty database; throws on a name that this version does not know. */
  readonly migrateTo: (databaseUrl: string, names: readonly string[]) => Promise<void>;
  /** Opens the target's database (starts the embedded one when that is the target). */
  readonly openTarget: () => Promise<{ readonly url: string; readonly close: () => Promise<void> }>;
}

export interface RestoreOptions {
  readonly file: string;
  readonly dataDir: string;
  readonly master: MasterKey;
}

export interface Restored {
  readonly takenAt: string;
  readonly tables: number;
  readonly rows: number;
}

const ROWS_AT_ONCE = 500;
/** Gateways elsewhere may have seen snapshots after the backup and take none with a lower number: go on well above. */
const SNAPSHOT_JUMP = 1_000_000n;

/** Tables that others refer to come first. */
async function inReferenceOrder(client: pg.Client, names: readonly string[]): Promise<string[]> {
  const { rows } = await client.query<{ child: string; parent: string }>(
    `select c.relname as child, p.relname as parent from pg_constraint r
     join pg_class c on c.oid = r.conrelid join pg_class p on p.oid = r.confrelid where r.contype = 'f' and c.oid <> p.oid`,
  );
  const ordered: string[] = [];
  const visit = (name: string) => {
    if (ordered.includes(name)) return;
    for (const { child, parent } of rows)
      if (child === name && names.includes(parent)) visit(parent);
    ordered.push(name);
  };
  for (const name of names) visit(name);
  return ordered;
}

/** Only a line feed ends a row; `node:readline` would also split at U+2028 inside a text. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = "";
  for await (const text of createReadStream(path, "utf8")) {
    const lines = (rest + String(text)).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

async function loadTable(
  client: pg.Client,
  table: Manifest["tables"][number],
  folder: string,
): Promise<void> {
  const name = pg.escapeIdentifier(table.name);
  const insert = `insert into ${name} overriding system value select * from json_populate_recordset(null::${name}, $1::json)`;
  let lines: string[] = [];
  const flush = async () => {
    if (lines.length > 0) await client.query(insert, [`[${lines.join(",")}]`]);
    lines = [];
  };
  for await (const line of linesOf(join(folder, table.file))) {
    if (line !== "") lines.push(line);
    if (lines.length >= ROWS_AT_ONCE) await flush();
  }
  await flush();
  const { rows } = await client.query<{ count: string }>(`select count(*) as count from ${name}`);
  if (rows[0]?.count !== String(table.rows))
    throw new Error(
      `${table.name}: ${rows[0]?.count ?? "no"} rows came in, ${table.rows} were written`,
    );
}

async function load(client: pg.Client, manifest: Manifest, folder: string): Promise<void> {
  const byName = new Map(manifest.tables.map((table) => [table.name, table]));
  const order = await inReferenceOrder(client, [...byName.keys()]);
  await client.query("begin");
  // Rows that migrations themselves put in are in the backup as well.
  for (const name of order.toReversed())
    await client.query(`delete from ${pg.escapeIdentifier(name)}`);
  for (const name of order) {
    const table = byName.get(name);
    if (table) await loadTable(client, table, folder);
  }
  for (const [name, last] of Object.entries(manifest.sequences)) {
    const value = name === "snapshot_sequence" ? BigInt(last) + SNAPSHOT_JUMP : BigInt(last);
    await client.query("select setval($1::regclass, $2::bigint, true)", [name, value.toString()]);
  }
  await client.query("update snapshot_dirty set changed = changed + 1");
  await client.query("commit");
}

async function refuseFilled(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ count: string }>(
    "select count(*) as count from pg_tables where schemaname = 'public'",
  );
  if (rows[0]?.count !== "0")
    throw new Error(
      "the database is not empty: restore into a new one, so that nothing is overwritten",
    );
}

function refuseForeignKey(manifest: Manifest, master: MasterKey): void {
  const found = fingerprintOf(master);
  if (found === manifest.masterKeyFingerprint) return;
  throw new Error(
    `this master key (${found}) is not the one that the backup was made with (${manifest.masterKeyFingerprint}): its credentials and keys could not be used. Give the right one with --key-file`,
  );
}

export async function restore(deps: RestoreDeps, options: RestoreOptions): Promise<Restored> {
  const parent = dirname(options.dataDir);
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, ".intertie-restore-"));
  try {
    await unpack(options.file, folder);
    const manifest = await readManifest(folder);
    refuseForeignKey(manifest, options.master);
    const target = await deps.openTarget();
    const client = new pg.Client({ connectionString: target.url });
    try {
      await client.connect();
      await refuseFilled(client);
      await deps.migrateTo(target.url, manifest.migrations);
      await load(client, manifest, folder);
    } finally {
      await client.end();
      await target.close();
    }
    if (manifest.files.some((file) => file.path.startsWith("gateways/"))) {
      await cp(join(folder, "gateways"), join(options.dataDir, "gateways"), { recursive: true });
    }
    const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
    return { takenAt: manifest.takenAt, tables: manifest.tables.length, rows };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
