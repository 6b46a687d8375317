// The front door: one list of commands, the roles and the CLI wired to what they do. Everything heavy is loaded only when asked for.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { completionCommand } from "./cli/completion.command.ts";
import { doctorCommand } from "./cli/doctor.command.ts";
import { keysCommands } from "./cli/keys.commands.ts";
import {
  backupCommand,
  restoreCommand,
  runRoleCommand,
  upCommand,
  versionCommand,
} from "./cli/local.commands.ts";
import { modelsCommands } from "./cli/models.commands.ts";
import { pricesCommands } from "./cli/prices.commands.ts";
import { projectsCommands } from "./cli/projects.commands.ts";
import { runCli } from "./cli/run-cli.ts";
import { CliFault, EXIT, usageFault, type Command } from "./cli/types.ts";
import { upstreamsCommands } from "./cli/upstreams.commands.ts";
import { usageCommands } from "./cli/usage.commands.ts";
import { readConfig, wantsNoColour } from "./config.ts";
import { readMasterKey, readRunState } from "./run/data-dir.ts";
import { runRole, type StartRole } from "./run/role.ts";
import { ROLES_STARTED, type RoleName } from "./run/roles.ts";

const VERSION = packageJson.version;
const ROOT = join(import.meta.dir, "..");

const ROLES: Readonly<Record<RoleName, () => Promise<StartRole>>> = {
  engine: async () => (await import("./run/wiring/engine.ts")).startEngine,
  control: async () => (await import("./run/wiring/control.ts")).startControl,
  worker: async () => (await import("./run/wiring/worker.ts")).startWorker,
  gateway: async () => (await import("./run/wiring/gateway.ts")).startGateway,
};

const write = (stream: NodeJS.WriteStream) => (text: string) => void stream.write(text);
const out = write(process.stdout);
const say = write(process.stderr);

async function startUp(settings: Readonly<Record<string, string>>, json: boolean): Promise<number> {
  const { up } = await import("./run/up.ts");
  const command = [process.execPath, join(ROOT, "src", "main.ts")];
  return up({
    config: readConfig(settings),
    version: VERSION,
    command,
    json,
    out,
    say: (text) => say(`${text}\n`),
  });
}

async function startRole(name: string): Promise<number> {
  const role = ROLES_STARTED.find((known) => known === name);
  if (role === undefined)
    throw usageFault(`run: there is no role "${name}"`, `known: ${ROLES_STARTED.join(", ")}`);
  const start = await ROLES[role]();
  return runRole(role, readConfig(), start);
}

const configFor = (dataDir: string) => readConfig({ INTERTIE_DATA_DIR: dataDir });

function masterFor(dataDir: string, keyFile?: string) {
  const config = configFor(dataDir);
  const file = keyFile ?? config.INTERTIE_MASTER_KEY_FILE;
  return readMasterKey(
    config.dataDir,
    { text: keyFile === undefined ? config.INTERTIE_MASTER_KEY : undefined, file },
    false,
  );
}

const backup = backupCommand(async ({ dataDir, file }) => {
  const [{ backup }, { openTarget }] = await Promise.all([
    import("./run/backup/backup.ts"),
    import("./run/backup/target.ts"),
  ]);
  const config = configFor(dataDir);
  const master = masterFor(dataDir);
  const source = await openTarget(config.dataDir, config.DATABASE_URL);
  try {
    return await backup({
      databaseUrl: source.url,
      dataDir: config.dataDir,
      master,
      version: VERSION,
      file,
    });
  } finally {
    await source.close();
  }
});

const restore = restoreCommand(async ({ dataDir, file, keyFile }) => {
  const { restoreInto } = await import("./run/backup/restore-into.ts");
  return restoreInto(configFor(dataDir), file, keyFile);
});

const doctor = doctorCommand({
  config: configFor,
  root: ROOT,
  bunVersion: { running: Bun.version, pinned: packageJson.dependencies.bun },
  probeDatabase: async (url) => (await import("./run/probe-database.ts")).probeDatabase(url),
});

const COMMANDS: readonly Command[] = [
  upCommand(startUp),
  ...keysCommands,
  ...projectsCommands,
  ...upstreamsCommands,
  ...pricesCommands,
  ...modelsCommands,
  ...usageCommands,
  backup,
  restore,
  doctor,
  runRoleCommand(startRole),
  completionCommand(() => COMMANDS),
  versionCommand(VERSION, `bun ${Bun.version}`),
];

/** An admin key from the environment, else the one that `up` keeps for this machine's own user. */
function reach(choice: {
  readonly dataDir: string | undefined;
  readonly controlUrl: string | undefined;
}) {
  const config = readConfig(
    choice.dataDir === undefined ? {} : { INTERTIE_DATA_DIR: choice.dataDir },
  );
  const url =
    choice.controlUrl ??
    config.INTERTIE_CONTROL_URL ??
    readRunState(config.dataDir)?.controlUrl ??
    `http://localhost:${config.INTERTIE_CONTROL_PORT}`;
  const path = join(config.dataDir, "admin.key");
  try {
    return { url, adminKey: config.INTERTIE_ADMIN_KEY ?? readFileSync(path, "utf8").trim() };
  } catch {
    throw new CliFault(
      EXIT.auth,
      "key.missing",
      `there is no admin key: INTERTIE_ADMIN_KEY is not set and ${path} is not there`,
      {
        hint: "run this where `intertie up` keeps its data (or give --data-dir), or set INTERTIE_ADMIN_KEY",
      },
    );
  }
}

/** The supervisor and the roles listen for signals themselves. */
function interruptSignal(argv: readonly string[]): AbortSignal {
  const controller = new AbortController();
  if (!["up", "run"].some((word) => argv.includes(word))) {
    process.once("SIGINT", () => {
      controller.abort();
      setTimeout(() => process.exit(EXIT.interrupted), 500).unref();
    });
  }
  return controller.signal;
}

const argv = process.argv.slice(2);
const code = await runCli(
  {
    commands: COMMANDS,
    version: VERSION,
    out,
    say,
    stdin: () => Bun.stdin.text(),
    colour: process.stdout.isTTY && !wantsNoColour(),
    lively: process.stderr.isTTY && !wantsNoColour(),
    signal: interruptSignal(argv),
    dataDir: (given) => resolve(given ?? readConfig().INTERTIE_DATA_DIR),
    reach,
  },
  argv,
);
process.exit(code);
