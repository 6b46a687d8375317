// The data folder: who may write it, the lock that lets one `up` run on it, the master key, and run.json (who runs, where).
// Invariants: the folder is 0700 and its secrets 0600; the lock is the operating system's, so it ends with its holder, however that dies.

import { Database } from "bun:sqlite";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { makeMasterKey, parseMasterKey, type MasterKey } from "../kit/secret.ts";

export const RunState = z.object({
  format: z.literal(1),
  pid: z.int(),
  version: z.string(),
  startedAt: z.string(),
  gatewayUrl: z.string(),
  controlUrl: z.string(),
  engineUrl: z.string(),
  databaseUrl: z.string().nullable(),
  gateways: z.int(),
  exposure: z.enum(["loopback", "tls", "behind-proxy"]),
  roles: z.array(z.object({ name: z.string(), pid: z.int() })),
});
export type RunState = z.infer<typeof RunState>;

export interface DataDir {
  readonly folder: string;
  /** What a run that could not say goodbye left behind. */
  readonly leftover: RunState | undefined;
  path(...parts: string[]): string;
  writeRunState(state: RunState): void;
  /** Lets go of the lock and removes run.json. */
  close(): void;
}

export class AlreadyRunning extends Error {
  readonly state: RunState | undefined;

  constructor(folder: string, state: RunState | undefined) {
    const where = state === undefined ? "" : ` (process ${state.pid}, console ${state.controlUrl})`;
    super(
      `Intertie already runs on ${folder}${where}: stop that one, or choose other data with --data-dir FOLDER`,
    );
    this.name = "AlreadyRunning";
    this.state = state;
  }
}

export function readRunState(folder: string): RunState | undefined {
  try {
    const parsed = RunState.safeParse(JSON.parse(readFileSync(join(folder, "run.json"), "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Whole or not at all, also when the machine loses power in between. */
export function replaceFile(path: string, text: string, mode = 0o600): void {
  writeFileSync(`${path}.new`, text, { mode, flush: true });
  renameSync(`${path}.new`, path);
}

function lock(folder: string): Database {
  const database = new Database(join(folder, "lock"), { create: true });
  try {
    // SQLite's exclusive transaction is a portable way to hold an operating-system file lock from here.
    database.run("pragma busy_timeout = 0");
    database.run("begin exclusive");
    return database;
  } catch {
    database.close();
    throw new AlreadyRunning(folder, readRunState(folder));
  }
}

export function openDataDir(folder: string): DataDir {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const held = lock(folder);
  chmodSync(folder, 0o700);
  return {
    folder,
    leftover: readRunState(folder),
    path: (...parts) => join(folder, ...parts),
    writeRunState: (state) =>
      replaceFile(join(folder, "run.json"), `${JSON.stringify(state, null, 2)}\n`),
    close: () => {
      rmSync(join(folder, "run.json"), { force: true });
      held.close();
    },
  };
}

/** True while an `up` holds the folder. */
export function isRunning(folder: string): boolean {
  if (!existsSync(join(folder, "lock"))) return false;
  try {
    lock(folder).close();
    return false;
  } catch {
    return true;
  }
}

export interface MasterKeyOptions {
  readonly text?: string | undefined;
  readonly file?: string | undefined;
}

/** From the environment, from a named file, or from the data folder, where it is made once. */
export function readMasterKey(
  folder: string,
  options: MasterKeyOptions,
  create: boolean,
): MasterKey {
  if (options.text !== undefined) return parseMasterKey(options.text);
  const path = options.file ?? join(folder, "master.key");
  if (existsSync(path)) {
    if ((statSync(path).mode & 0o077) !== 0) {
      throw new Error(`${path} can be read by others: chmod 600 ${path}`);
    }
    return parseMasterKey(readFileSync(path, "utf8"));
  }
  if (!create || options.file !== undefined) {
    throw new Error(
      `there is no master key at ${path}: put the key file that belongs to this data there`,
    );
  }
  const key = makeMasterKey();
  replaceFile(path, `${Buffer.from(key).toString("hex")}\n`);
  return key;
}
