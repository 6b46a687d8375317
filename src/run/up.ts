// `intertie up`: everything on one machine. Looks first (exposure, lock, ports), then starts Postgres and the roles, greets, and waits.
// Invariants: nothing is started before all refusals are through; whatever was started is stopped in reverse order, within bounds.

import { join } from "node:path";
import { availableParallelism } from "node:os";
import type { Config } from "../config.ts";
import { isAlive } from "../db/postgres-process.ts";
import { systemClock } from "../kit/clock.ts";
import { beforeDeadline } from "../kit/deadline.ts";
import { openLog, type Log } from "../kit/log.ts";
import type { MasterKey } from "../kit/secret.ts";
import { openChild, type Child } from "./child.ts";
import { openDataDir, readMasterKey, type DataDir } from "./data-dir.ts";
import { judgeExposure, type Exposure } from "./exposure.ts";
import { greetingJson, greetingText } from "./greeting.ts";
import { openLogFile } from "./log-file.ts";
import { openPostgres, type Postgres } from "./postgres.ts";
import { probePorts } from "./ports.ts";
import { openClosers } from "./role.ts";
import { planRoles, ROLES_STARTED, type RolePlan } from "./roles.ts";
import { tlsOf } from "./wiring/listen.ts";
import { publicUrl } from "./wiring/listen.ts";
import { setUp, type SetUp } from "./wiring/set-up.ts";

export interface UpOptions {
  readonly config: Config;
  readonly version: string;
  /** How this very program is called, before `run ROLE`. */
  readonly command: readonly string[];
  readonly json: boolean;
  readonly out: (text: string) => void;
  readonly say: (text: string) => void;
}

interface Grounds {
  readonly config: Config;
  readonly exposure: Exposure;
  readonly dataDir: DataDir;
  readonly master: MasterKey;
  readonly gateways: number;
}

/** A person waits about this long before thinking that it hangs. */
const READY_MAX_MS = 90_000;
/** A second Ctrl-C within this time is the first one's echo (npm and the terminal both pass it on). */
const ECHO_MS = 1_000;

const LEFTOVER_POLL_MS = 100;

/** A killed `up` leaves roles that notice it and drain; their ports are free only then. */
async function awaitLeftovers(
  dataDir: DataDir,
  drainMs: number,
  say: (text: string) => void,
): Promise<void> {
  const left = () =>
    (dataDir.leftover?.roles ?? []).filter((role) => role.pid > 0 && isAlive(role.pid));
  const endMs = performance.now() + drainMs + LEFTOVER_POLL_MS * 50;
  for (let told = false; left().length > 0 && performance.now() < endMs; told = true) {
    if (!told) say("waiting for what the last run left behind to finish …");
    await Bun.sleep(LEFTOVER_POLL_MS);
  }
}

/** Everything that can be refused, before anything runs. Port 0 is settled here, so that all roles agree on it. */
async function prepare({ config, say }: UpOptions): Promise<Grounds> {
  const exposure = judgeExposure({
    host: config.INTERTIE_HOST,
    tlsCert: config.INTERTIE_TLS_CERT,
    tlsKey: config.INTERTIE_TLS_KEY,
    behindProxy: config.INTERTIE_BEHIND_PROXY,
  });
  tlsOf(config);
  const dataDir = openDataDir(config.dataDir);
  try {
    await awaitLeftovers(dataDir, config.INTERTIE_DRAIN_MAX_S * 1000, say);
    const [gateway = 0, control = 0, engine = 0] = await probePorts([
      { flag: "--port", host: config.INTERTIE_HOST, port: config.INTERTIE_GATEWAY_PORT },
      { flag: "--control-port", host: config.INTERTIE_HOST, port: config.INTERTIE_CONTROL_PORT },
      { flag: "--engine-port", host: "127.0.0.1", port: config.INTERTIE_ENGINE_PORT },
    ]);
    const secret = { text: config.INTERTIE_MASTER_KEY, file: config.INTERTIE_MASTER_KEY_FILE };
    return {
      config: {
        ...config,
        INTERTIE_GATEWAY_PORT: gateway,
        INTERTIE_CONTROL_PORT: control,
        INTERTIE_ENGINE_PORT: engine,
      },
      exposure,
      dataDir,
      master: readMasterKey(config.dataDir, secret, true),
      gateways: config.INTERTIE_GATEWAYS ?? availableParallelism(),
    };
  } catch (error) {
    dataDir.close();
    throw error;
  }
}

function startRoles(
  options: UpOptions,
  plans: readonly RolePlan[],
  log: Log,
  onChange: () => void,
): readonly Child[] {
  return plans.map((plan) =>
    openChild({
      name: plan.name,
      command: [...options.command, "run", plan.role],
      settings: plan.settings,
      logFile: openLogFile(join(options.config.dataDir, "logs", `${plan.name}.log`)),
      log,
      onPid: onChange,
    }),
  );
}

function allReady(children: readonly Child[]): Promise<unknown> {
  return beforeDeadline(Promise.all(children.map((child) => child.ready)), READY_MAX_MS, () => {
    throw new Error("not everything was ready in time; `intertie doctor` says what is missing");
  });
}

function recordRun(
  options: UpOptions,
  grounds: Grounds,
  postgres: Postgres,
  children: readonly Child[],
): void {
  const { config } = grounds;
  grounds.dataDir.writeRunState({
    format: 1,
    pid: process.pid,
    version: options.version,
    startedAt: new Date(systemClock.nowMs()).toISOString(),
    gatewayUrl: publicUrl(config, config.INTERTIE_GATEWAY_PORT),
    controlUrl: publicUrl(config, config.INTERTIE_CONTROL_PORT),
    engineUrl: `http://127.0.0.1:${config.INTERTIE_ENGINE_PORT}`,
    databaseUrl: postgres.embedded ? postgres.url : null,
    gateways: grounds.gateways,
    exposure: grounds.exposure,
    roles: children.map((child) => ({ name: child.name, pid: child.pid })),
  });
}

function greet(options: UpOptions, grounds: Grounds, made: SetUp, readyMs: number): void {
  const { config } = grounds;
  const greeting = {
    version: options.version,
    dataDir: config.dataDir,
    exposure: grounds.exposure,
    apiUrl: `${publicUrl(config, config.INTERTIE_GATEWAY_PORT)}/v1`,
    consoleLink: `${publicUrl(config, config.INTERTIE_CONTROL_PORT)}/start?link=${made.consoleLink}`,
    firstKey: made.firstKey,
    model: made.model,
    readyMs,
  };
  options.out(options.json ? greetingJson(greeting) : greetingText(greeting));
}

interface StopWish {
  readonly wished: Promise<void>;
  /** Called when the person insists; everything left is killed. */
  onInsist(listener: () => void): void;
}

function listenForStop(say: (text: string) => void): StopWish {
  const { promise, resolve } = Promise.withResolvers<void>();
  let insist = () => {};
  let firstAtMs: number | undefined;
  const heard = () => {
    const nowMs = performance.now();
    if (firstAtMs === undefined) {
      firstAtMs = nowMs;
      say("stopping … (again to stop at once)");
      resolve();
    } else if (nowMs - firstAtMs > ECHO_MS) insist();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, heard);
  return { wished: promise, onInsist: (listener) => void (insist = listener) };
}

/** Resolves with the exit code, once everything is stopped again. */
export async function up(options: UpOptions): Promise<number> {
  const startedMs = performance.now();
  const grounds = await prepare(options);
  const { dataDir, config } = grounds;
  const supervisorLog = openLogFile(dataDir.path("logs", "up.log"));
  const log = openLog({
    level: config.INTERTIE_LOG_LEVEL,
    role: "up",
    nowMs: systemClock.nowMs,
    write: supervisorLog.write,
  });
  const closers = openClosers(log);
  closers.defer("data folder", dataDir.close);
  const stop = listenForStop(options.say);
  try {
    const postgres = await openPostgres({
      url: config.DATABASE_URL,
      folder: dataDir.path("postgres"),
      log,
    });
    closers.defer("postgres", postgres.stop);
    const made = await setUp({
      databaseUrl: postgres.url,
      master: grounds.master,
      config,
      adminKeyFile: dataDir.path("admin.key"),
    });
    const plans = planRoles(config, postgres.url, grounds.gateways);
    let children: readonly Child[] = [];
    const record = () => children.length > 0 && recordRun(options, grounds, postgres, children);
    children = startRoles(options, plans, log, record);
    for (const role of ROLES_STARTED) {
      const ofRole = plans.flatMap((plan, index) =>
        plan.role === role ? [{ plan, child: children[index] }] : [],
      );
      closers.defer(role, () =>
        Promise.all(ofRole.map(({ plan, child }) => child?.stop(plan.stopMaxMs))),
      );
    }
    stop.onInsist(() => children.forEach((child) => child.kill()));
    record();
    const ready = await Promise.race([
      allReady(children).then(() => true),
      stop.wished.then(() => false),
    ]);
    if (ready) {
      greet(options, grounds, made, performance.now() - startedMs);
      await stop.wished;
    }
    return 0;
  } finally {
    await closers.closeAll();
    options.say(`stopped; the data is in ${config.dataDir}`);
    supervisorLog.close();
  }
}
