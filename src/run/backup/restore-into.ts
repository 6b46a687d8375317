// `intertie restore` on this machine: refuses a filled folder, finds the key, restores, and leaves nothing behind when it fails.

import { existsSync, readdirSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../../config.ts";
import { readMasterKey, replaceFile } from "../data-dir.ts";
import { restore, type Restored } from "./restore.ts";
import { migrateTo, openTarget } from "./target.ts";

function masterKeyFrom(config: Config, keyFile: string | undefined) {
  const file = keyFile ?? config.INTERTIE_MASTER_KEY_FILE;
  const text = keyFile === undefined ? config.INTERTIE_MASTER_KEY : undefined;
  if (file === undefined && text === undefined) {
    throw new Error(
      "the backup is of no use without its master key: give the key file with --key-file FILE (it was `master.key` in the old data folder)",
    );
  }
  return readMasterKey(config.dataDir, { text, file }, false);
}

export async function restoreInto(
  config: Config,
  file: string,
  keyFile: string | undefined,
): Promise<Restored> {
  const { dataDir } = config;
  if (!existsSync(file)) throw new Error(`there is no file ${file}`);
  if (existsSync(dataDir) && readdirSync(dataDir).length > 0) {
    throw new Error(
      `${dataDir} is not empty: restore into a new folder with --data-dir FOLDER, so that nothing is overwritten`,
    );
  }
  const master = masterKeyFrom(config, keyFile);
  const wasThere = existsSync(dataDir);
  try {
    const restored = await restore(
      { migrateTo, openTarget: () => openTarget(dataDir, config.DATABASE_URL) },
      { file, dataDir, master },
    );
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    replaceFile(join(dataDir, "master.key"), `${Buffer.from(master).toString("hex")}\n`);
    return restored;
  } catch (error) {
    await rm(dataDir, { recursive: true, force: true });
    if (wasThere) await mkdir(dataDir, { mode: 0o700 });
    throw error;
  }
}
