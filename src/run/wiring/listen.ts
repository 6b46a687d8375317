// Where a role listens, and how the other roles of this machine reach it.

import { readFileSync } from "node:fs";
import type { Config } from "../../config.ts";
import { equalBytes } from "../../kit/secret.ts";
import { isLoopback } from "../exposure.ts";

const LOOPBACK_OR_ANY = new Set(["0.0.0.0", "::", "127.0.0.1", "localhost"]);
const schemeOf = (config: Config) => (config.INTERTIE_TLS_CERT === undefined ? "http" : "https");

/** Control, from another role on this machine: it listens on loopback whatever else it listens on. */
export function controlUrl(config: Config): string {
  const host = config.INTERTIE_HOST === "::1" ? "[::1]" : "127.0.0.1";
  return `${schemeOf(config)}://${host}:${config.INTERTIE_CONTROL_PORT}`;
}

/** A gateway, from control on this machine. */
export function gatewayUrl(config: Config): string {
  const { INTERTIE_HOST: host } = config;
  const literal = host.includes(":") ? `[${host}]` : host;
  const reached = LOOPBACK_OR_ANY.has(host) ? "127.0.0.1" : literal;
  return `${schemeOf(config)}://${reached}:${config.INTERTIE_GATEWAY_PORT}`;
}

/** Only programs of this machine can come: by loopback, and no proxy brings others. */
export function isLocalOnly(config: Config): boolean {
  return isLoopback(config.INTERTIE_HOST) && !config.INTERTIE_BEHIND_PROXY;
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
  const { INTERTIE_HOST: host } = config;
  return `${schemeOf(config)}://${LOOPBACK_OR_ANY.has(host) ? "localhost" : host}:${port}`;
}

/** Metrics tell of customers and volumes: on this machine they are open, beyond it they need the token that an operator set. */
export function metricsGuard(config: Config): (request: Request) => boolean {
  if (isLocalOnly(config)) return () => true;
  const { INTERTIE_METRICS_TOKEN: token } = config;
  if (token === undefined) return () => false;
  const expected = new TextEncoder().encode(`Bearer ${token}`);
  return (request) =>
    equalBytes(new TextEncoder().encode(request.headers.get("authorization") ?? ""), expected);
}
