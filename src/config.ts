// The only reader of the environment. One schema, at most 30 names, unknown INTERTIE_* names are refused.
// Invariant: the environment holds addresses and secrets; everything else is data in Postgres.

import { resolve } from "node:path";
import { z } from "zod";

const Port = z.coerce.number().int().min(0).max(65_535);
const Flag = z
  .enum(["0", "1", "true", "false"])
  .transform((text) => text === "1" || text === "true");

const Environment = z.object({
  DATABASE_URL: z.string().optional(),
  INTERTIE_DATA_DIR: z.string().default(".intertie"),
  INTERTIE_HOST: z.string().default("127.0.0.1"),
  INTERTIE_GATEWAY_PORT: Port.default(4100),
  INTERTIE_CONTROL_PORT: Port.default(4110),
  INTERTIE_ENGINE_PORT: Port.default(4120),
  INTERTIE_GATEWAYS: z.coerce.number().int().min(1).max(256).optional(),
  INTERTIE_MASTER_KEY: z.string().optional(),
  INTERTIE_MASTER_KEY_FILE: z.string().optional(),
  INTERTIE_LOG_LEVEL: z.enum(["debug", "info", "warn", "error"]).default("info"),
  INTERTIE_ACCESS_LOG: Flag.default(false),
  INTERTIE_TLS_CERT: z.string().optional(),
  INTERTIE_TLS_KEY: z.string().optional(),
  INTERTIE_BEHIND_PROXY: Flag.default(false),
  INTERTIE_CONTROL_URL: z.url().optional(),
  INTERTIE_SNAPSHOT_AGE_MAX_S: z.coerce.number().int().min(1).default(86_400),
  INTERTIE_METRICS_TOKEN: z.string().min(16).optional(),
  INTERTIE_CELL: z.string().max(63).default("local"),
  INTERTIE_SLOT: z.coerce.number().int().min(0).max(255).default(0),
  INTERTIE_JOURNAL_BYTES_MAX: z.coerce.number().int().min(1_048_576).default(1_073_741_824),
  INTERTIE_DRAIN_MAX_S: z.coerce.number().int().min(0).default(30),
  INTERTIE_ADMIN_KEY: z.string().optional(),
  INTERTIE_MODELS_HUB: z.url().default("https://huggingface.co"),
});

export type Config = Readonly<z.output<typeof Environment>> & { readonly dataDir: string };

/** Throws an Error whose message names each wrong or unknown variable, one a line. */
export function readConfig(
  overrides: Readonly<Record<string, string | undefined>> = {},
  surroundings: Readonly<Record<string, string | undefined>> = process.env,
): Config {
  const env = { ...surroundings, ...overrides };
  const known = new Set(Object.keys(Environment.shape));
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith("INTERTIE_") && !known.has(name),
  );
  const parsed = Environment.safeParse(env);
  const problems = [
    ...unknown.map((name) => `${name}: no such setting; known are ${[...known].join(", ")}`),
    ...(parsed.success
      ? []
      : parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`)),
  ];
  if (!parsed.success || problems.length > 0) throw new Error(problems.join("\n"));
  return { ...parsed.data, dataDir: resolve(parsed.data.INTERTIE_DATA_DIR) };
}

/** What a process started by us sees: our own environment, without settings of ours but those named here. */
export function childEnvironment(
  settings: Readonly<Record<string, string>>,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Record<string, string> {
  const inherited = Object.entries(env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !entry[0].startsWith("INTERTIE_") && entry[0] !== "DATABASE_URL",
  );
  return { ...Object.fromEntries(inherited), ...settings };
}

/** https://no-color.org: any non-empty value means no colours. */
export function wantsNoColour(
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  return (env["NO_COLOR"] ?? "") !== "" || env["TERM"] === "dumb";
}
