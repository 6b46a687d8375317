// The frame around one role's process: start, say "ready" to the supervisor, stop once on a signal or when the supervisor is gone.
// Invariants: no role opens an address that `up` would refuse; whatever was opened is closed in reverse order, within the drain
// bound, and the exit code tells how it went.

import { systemClock } from "../kit/clock.ts";
import { errorText, openLog, type Log } from "../kit/log.ts";
import type { Config } from "../config.ts";
import { judgeExposure } from "./exposure.ts";

export interface Running {
  /** Drains what is open, then closes; called once. */
  stop(): Promise<void>;
}

export type StartRole = (config: Config, log: Log) => Promise<Running>;

/** Remembers closers while a role opens its parts, and runs them last first. One that fails does not keep the others open. */
export function openClosers(log: Log): {
  readonly defer: (name: string, close: () => unknown) => void;
  readonly closeAll: () => Promise<void>;
} {
  const open: { readonly name: string; readonly close: () => unknown }[] = [];
  return {
    defer: (name, close) => void open.push({ name, close }),
    closeAll: async () => {
      for (const { name, close } of open.splice(0).toReversed()) {
        try {
          await close();
        } catch (error) {
          log.error("role.close_failed", { part: name, reason: errorText(error) });
        }
      }
    },
  };
}

function stopWish(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => resolve(signal));
    // The supervisor's end of the channel closed: it died without telling us.
    process.on("disconnect", () => resolve("supervisor gone"));
  });
}

/** Resolves with the exit code. */
export async function runRole(name: string, config: Config, start: StartRole): Promise<number> {
  const log = openLog({
    level: config.INTERTIE_LOG_LEVEL,
    role: name,
    nowMs: systemClock.nowMs,
    write: (line) => void process.stderr.write(line),
  });
  const wish = stopWish();
  try {
    judgeExposure({
      host: config.INTERTIE_HOST,
      tlsCert: config.INTERTIE_TLS_CERT,
      tlsKey: config.INTERTIE_TLS_KEY,
      behindProxy: config.INTERTIE_BEHIND_PROXY,
    });
    const running = await start(config, log);
    log.info("role.ready", { pid: process.pid });
    process.send?.("ready");
    log.info("role.stopping", { why: await wish });
    await running.stop();
    log.info("role.stopped");
    return 0;
  } catch (error) {
    log.error("role.failed", {
      reason: errorText(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    return 1;
  }
}
