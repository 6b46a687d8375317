// Processes of a running stack, taken away and given back, and a gateway alone on a copy of what lies on another's disk.
// Invariant: only process ids that this very stack wrote down are touched, and what is frozen is thawed by its test.

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { childEnvironment } from "../../src/config.ts";
import { probePort } from "../../src/run/ports.ts";
import { eventually, type Stack } from "../stack.ts";

const MAIN = join(import.meta.dir, "..", "..", "src", "main.ts");

export type LogLine = Readonly<Record<string, unknown>>;

const linesOf = (text: string): LogLine[] =>
  text
    .split("\n")
    .filter((line) => line.startsWith("{") && line.endsWith("}"))
    .map((line): LogLine => JSON.parse(line));

/** What a role has logged so far. */
export const logOf = (stack: Stack, role: string): LogLine[] =>
  linesOf(readFileSync(join(stack.dataDir, "logs", `${role}.log`), "utf8"));

/** 0 while it does not run. */
export const pidOf = (stack: Stack, role: string): number =>
  stack.state().roles.find(({ name }) => name === role)?.pid ?? 0;

/** SIGKILL; resolves when its supervisor has started it again and it says that it is ready. */
export async function killAndAwait(stack: Stack, role: string): Promise<void> {
  const before = pidOf(stack, role);
  process.kill(before, "SIGKILL");
  await eventually(`${role} to start again`, () => {
    const now = pidOf(stack, role);
    const isReady = ({ event, pid }: LogLine) => event === "role.ready" && pid === now;
    return now !== before && logOf(stack, role).some(isReady) ? true : undefined;
  });
}

export async function withDatabase<T>(
  stack: Stack,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: stack.state().databaseUrl ?? "" });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The server and everything that works for it: a stopped postmaster alone would leave open connections served. */
export async function postgresPids(stack: Stack): Promise<number[]> {
  const file = readFileSync(join(stack.dataDir, "postgres", "data", "postmaster.pid"), "utf8");
  const own = await withDatabase(stack, async (client) => {
    const { rows } = await client.query<{ pid: number }>(
      "select pid from pg_stat_activity where pid <> pg_backend_pid()",
    );
    return rows.map(({ pid }) => pid);
  });
  return [Number(file.split("\n")[0]), ...own];
}

/** Answers nothing and closes nothing, like a machine that hangs, until the returned function is called. */
export function freeze(pids: readonly number[]): () => void {
  const tell = (signal: NodeJS.Signals) => {
    for (const pid of pids) {
      try {
        process.kill(pid, signal);
      } catch {
        // A backend that ended meanwhile.
      }
    }
  };
  tell("SIGSTOP");
  return () => tell("SIGCONT");
}

export interface LoneRole {
  readonly origin: string;
  log(): LogLine[];
  stop(): Promise<void>;
}

export interface LoneRoleOptions {
  readonly role: "control" | "gateway";
  /** Whose master key, and of whose first gateway the disk, is copied. */
  readonly of: Stack;
  readonly settings: Readonly<Record<string, string>>;
  /** Changes the copied folder of the gateway before it starts. */
  readonly prepare?: (folder: string) => void;
}

function copyGround({ of: { dataDir }, prepare }: LoneRoleOptions): string {
  const copy = mkdtempSync(join(tmpdir(), "intertie-lone-"));
  const folder = join(copy, "gateways", "0");
  mkdirSync(folder, { recursive: true });
  for (const name of ["master.key", join("gateways", "0", "identity.json")])
    cpSync(join(dataDir, name), join(copy, name));
  cpSync(join(dataDir, "gateways", "0", "snapshot"), join(folder, "snapshot"), { recursive: true });
  prepare?.(folder);
  return copy;
}

/** `intertie run ROLE`, as on a machine of its own. Does not wait until it answers. */
export async function openLoneRole(options: LoneRoleOptions): Promise<LoneRole> {
  const copy = copyGround(options);
  const port = await probePort({ flag: "--port", host: "127.0.0.1", port: 0 });
  const child = Bun.spawn([process.execPath, MAIN, "run", options.role], {
    cwd: copy,
    env: childEnvironment({
      INTERTIE_DATA_DIR: copy,
      [`INTERTIE_${options.role.toUpperCase()}_PORT`]: String(port),
      ...options.settings,
    }),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    // With a channel it ends when the test's process does.
    ipc: () => {},
  });
  let text = "";
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const bytes of child.stderr) text += decoder.decode(bytes, { stream: true });
  })();
  return {
    origin: `http://127.0.0.1:${port}`,
    log: () => linesOf(text),
    stop: async () => {
      child.kill("SIGTERM");
      await Promise.all([child.exited, reading]);
      rmSync(copy, { recursive: true, force: true });
    },
  };
}
