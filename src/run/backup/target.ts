// Where a backup is read from and where a restore goes to: the database of DATABASE_URL, or the embedded one of a data folder.
// Invariant: an embedded server that we started for this is stopped again; one that `up` runs is only used.

import { copyFile, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../db/database.ts";
import { startEmbedded } from "../../db/embedded.ts";
import { migrate, MIGRATIONS_FOLDER } from "../../db/migrate.ts";
import { Fault } from "../../kit/fault.ts";
import { isRunning, openDataDir, readRunState } from "../data-dir.ts";

export interface Target {
  readonly url: string;
  readonly close: () => Promise<void>;
}

export async function openTarget(
  dataDir: string,
  databaseUrl: string | undefined,
): Promise<Target> {
  if (databaseUrl !== undefined) return { url: databaseUrl, close: async () => {} };
  const running = isRunning(dataDir) ? readRunState(dataDir)?.databaseUrl : undefined;
  if (running) return { url: running, close: async () => {} };
  const folder = openDataDir(dataDir);
  const server = await startEmbedded({ folder: folder.path("postgres") });
  return {
    url: server.url,
    close: async () => {
      await server.stop();
      folder.close();
    },
  };
}

/** Exactly these migrations, so that rows of an older version meet the tables that they were read from. */
export async function migrateTo(databaseUrl: string, names: readonly string[]): Promise<void> {
  const known = new Set(await readdir(MIGRATIONS_FOLDER));
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new Fault("database.newer", {
      message: `the backup has migration ${unknown}, which this version does not know`,
      hint: "restore it with the version that made it, or a newer one",
    });
  }
  const folder = await mkdtemp(join(tmpdir(), "intertie-migrations-"));
  const database = openDatabase(databaseUrl, { connectionsMax: 2 });
  try {
    for (const name of names) await copyFile(join(MIGRATIONS_FOLDER, name), join(folder, name));
    await migrate(database.pool, folder);
  } finally {
    await database.close();
    await rm(folder, { recursive: true, force: true });
  }
}
