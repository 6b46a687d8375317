// Where a role listens, and how the other roles of this machine reach it.

import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Config } from "../../config.ts";
import { equalTexts } from "../../kit/secret.ts";
import { isLoopback } from "../../kit/loopback.ts";

const ANY = new Set(["0.0.0.0", "::"]);

function urlOf(config: Config, host: string, port: number): string {
  const scheme = config.INTERTIE_TLS_CERT === undefined ? "http" : "https";
  return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Control listens on loopback whatever else it listens on. */
export function controlHosts({ INTERTIE_HOST: host }: Config): readonly string[] {
  return isLoopback(host) || ANY.has(host) ? [host] : [host, "127.0.0.1"];
}

/** Control, from another role on this machine. */
export function controlUrl(config: Config): string {
  const host = config.INTERTIE_HOST === "::1" ? "::1" : "127.0.0.1";
  return urlOf(config, host, config.INTERTIE_CONTROL_PORT);
}

/** A gateway, from control on this machine. */
export function gatewayUrl(config: Config): string {
  const { INTERTIE_HOST: host } = config;
  return urlOf(config, ANY.has(host) ? "127.0.0.1" : host, config.INTERTIE_GATEWAY_PORT);
}

/** As a person types it: a loopback or wildcard host is `localhost`. */
export function publicUrl(config: Config, port: number): string {
  const { INTERTIE_HOST: host } = config;
  return urlOf(config, isLoopback(host) || ANY.has(host) ? "localhost" : host, port);
}

/** Only programs of this machine can come: by loopback, and no proxy brings others. */
export function isLocalOnly(config: Config): boolean {
  return isLoopback(config.INTERTIE_HOST) && !config.INTERTIE_BEHIND_PROXY;
}

interface Tls {
  readonly cert: string;
  readonly key: string;
}

/** Throws an Error that names the flag. */
function readPem<T>(flag: string, path: string, what: string, parse: (text: string) => T) {
  try {
    const text = readFileSync(path, "utf8");
    return { text, parsed: parse(text) };
  } catch (cause) {
    const missing = cause instanceof Error && "code" in cause && cause.code === "ENOENT";
    const reason = missing ? "there is no such file" : `it cannot be read as ${what} in PEM`;
    throw new Error(`${flag} ${path}: ${reason}`, { cause });
  }
}

/** Throws an Error when a file is missing, unreadable, or the two do not belong together. */
export function tlsOf(config: Config): { readonly tls?: Tls } {
  const { INTERTIE_TLS_CERT: certPath, INTERTIE_TLS_KEY: keyPath } = config;
  if (certPath === undefined || keyPath === undefined) return {};
  const cert = readPem(
    "--tls-cert",
    certPath,
    "a certificate",
    (text) => new X509Certificate(text),
  );
  const key = readPem("--tls-key", keyPath, "a private key without passphrase", createPrivateKey);
  if (!cert.parsed.checkPrivateKey(key.parsed))
    throw new Error(`--tls-key ${keyPath} does not belong to the certificate in ${certPath}`);
  return { tls: { cert: cert.text, key: key.text } };
}

/** Metrics tell of customers and volumes: on this machine they are open, beyond it they need the token that an operator set. */
export function metricsGuard(config: Config): (request: Request) => boolean {
  if (isLocalOnly(config)) return () => true;
  const { INTERTIE_METRICS_TOKEN: token } = config;
  if (token === undefined) return () => false;
  return (request) => equalTexts(request.headers.get("authorization") ?? "", `Bearer ${token}`);
}
