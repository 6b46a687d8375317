// The engine role: the embedded upstream, on loopback, for callers that hold the installation's engine key.

import { join } from "node:path";
import { openEngine } from "../../engine/engine.ts";
import { systemClock, systemDice } from "../../kit/clock.ts";
import type { StartRole } from "../role.ts";
import { readKeys } from "./foundation.ts";

/** Below the time after which the supervisor kills. */
const DRAIN_MS = 8_000;

export const startEngine: StartRole = async (config, log) => {
  const engine = await openEngine({
    host: "127.0.0.1",
    port: config.INTERTIE_ENGINE_PORT,
    bearer: readKeys(config).engineBearer,
    artifactsDir: join(config.dataDir, "artifacts"),
    log,
    clock: systemClock,
    dice: systemDice,
  });
  return { stop: () => engine.drain(DRAIN_MS) };
};
