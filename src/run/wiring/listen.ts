// Where a role listens, and how the other roles of this machine reach it.

import { readFileSync } from "node:fs";
import type { Config } from "../../config.ts";

const ANY = new Set(["0.0.0.0", "::", "127.0.0.1", "::1", "localhost"]);

/** As another process on this machine reaches the port: by loopback wherever the role listens there. */
export function loopbackUrl(config: Config, port: number): string {
  const scheme = config.INTERTIE_TLS_CERT === undefined ? "http" : "https";
  return `${scheme}://${ANY.has(config.INTERTIE_HOST) ? "127.0.0.1" : config.INTERTIE_HOST}:${port}`;
}

export function tlsOf(config: Config): {
  readonly tls?: { readonly cert: string; readonly key: string };
} {
  const { INTERTIE_TLS_CERT: cert, INTERTIE_TLS_KEY: key } = config;
  if (cert === undefined || key === undefined) return {};
  return { tls: { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") } };
}

/** As a person types it: a loopback or wildcard host is `localhost`. */
export function publicUrl(config: Config, port: number): string {
  const scheme = config.INTERTIE_TLS_CERT === undefined ? "http" : "https";
  return `${scheme}://${ANY.has(config.INTERTIE_HOST) ? "localhost" : config.INTERTIE_HOST}:${port}`;
}
