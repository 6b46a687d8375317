// The order of the roles: who is started after whom, with which settings, and how long each may take to stop.
// Invariants: only roles that need the database are told where it is; a gateway never is; none gets a person's admin key.

import type { Config } from "../config.ts";

/** In starting order; stopping goes the other way round: gateways hand their journals to control before control goes. */
export const ROLES_STARTED = ["engine", "control", "worker", "gateway"] as const;
export type RoleName = (typeof ROLES_STARTED)[number];

export interface RolePlan {
  /** `gateway-1`: also the name of its log file. */
  readonly name: string;
  readonly role: RoleName;
  readonly settings: Readonly<Record<string, string>>;
  readonly stopMaxMs: number;
}

const STOP_MAX_MS = 10_000;

/** For the CLI only. */
const NOT_A_ROLES = "INTERTIE_ADMIN_KEY";

/** The settings of a configuration as the environment writes them. */
function settingsOf(config: Config): Record<string, string> {
  const own = Object.entries(config).filter(
    ([name, value]) => name.startsWith("INTERTIE_") && name !== NOT_A_ROLES && value !== undefined,
  );
  return Object.fromEntries(own.map(([name, value]) => [name, String(value)]));
}

export function planRoles(
  config: Config,
  databaseUrl: string,
  gateways: number,
): readonly RolePlan[] {
  const shared = { ...settingsOf(config), INTERTIE_DATA_DIR: config.dataDir };
  const withDatabase = { ...shared, DATABASE_URL: databaseUrl };
  const drainMs = config.INTERTIE_DRAIN_MAX_S * 1000;
  return [
    { name: "engine", role: "engine", settings: shared, stopMaxMs: STOP_MAX_MS },
    { name: "control", role: "control", settings: withDatabase, stopMaxMs: STOP_MAX_MS },
    { name: "worker", role: "worker", settings: withDatabase, stopMaxMs: STOP_MAX_MS },
    ...Array.from({ length: gateways }, (_, slot): RolePlan => ({
      name: `gateway-${slot}`,
      role: "gateway",
      settings: { ...shared, INTERTIE_SLOT: String(slot) },
      stopMaxMs: drainMs + STOP_MAX_MS,
    })),
  ];
}
