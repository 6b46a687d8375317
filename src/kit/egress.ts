// Calls to addresses that people typed in: each address a name resolves to is judged, and the connection goes to one that passed.
// Invariants: no second look-up, no redirects, bounded in time and bytes; link-local addresses (cloud metadata) are never called.

import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { beforeDeadline } from "./deadline.ts";
import { Fault } from "./fault.ts";
import { errorText } from "./log.ts";

function blockList(subnets: readonly (readonly [string, number])[]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of subnets)
    list.addSubnet(network, prefix, isIP(network) === 6 ? "ipv6" : "ipv4");
  return list;
}

/** Somebody's own network: allowed where that was said explicitly. */
const PRIVATE = blockList([
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["::1", 128],
  ["fc00::", 7],
]);

/** Nowhere that a model is served: unspecified, link-local, documentation, translated, multicast, reserved. */
const NEVER = blockList([
  ["0.0.0.0", 8],
  ["100.100.100.200", 32],
  ["169.254.0.0", 16],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
  ["::", 128],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["100::", 64],
  ["2001::", 32],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["fd00:ec2::", 32],
  ["fe80::", 10],
  ["ff00::", 8],
]);

export type AddressKind = "public" | "private" | "never";

/** An IPv4 address inside an IPv6 one is judged as what it is. */
export function judgeAddress(address: string): AddressKind {
  const family = isIP(address);
  if (family === 0) return "never";
  const version = family === 6 ? "ipv6" : "ipv4";
  if (NEVER.check(address, version)) return "never";
  return PRIVATE.check(address, version) ? "private" : "public";
}

export type Resolve = (name: string) => Promise<readonly string[]>;

const systemResolve: Resolve = async (name) =>
  (await lookup(name, { all: true })).map((entry) => entry.address);

export interface Target {
  readonly url: string;
  readonly allowPrivateAddress: boolean;
}

const RESOLVE_WITHIN_MS = 5_000;

/** A resolver that is away may take half a minute to say so. */
function addressesOf(name: string, resolve: Resolve, withinMs: number) {
  const found = resolve(name).catch(() => []);
  return beforeDeadline(found, withinMs, () => {
    throw new Fault("upstream.timeout", {
      message: `the name ${name} was not resolved within ${withinMs} ms`,
    });
  });
}

/** The address to connect to; throws `upstream.forbidden_address`, `upstream.unreachable` or `upstream.timeout`. */
export async function resolveTarget(
  target: Target,
  resolve = systemResolve,
  withinMs = RESOLVE_WITHIN_MS,
): Promise<string> {
  const { hostname, protocol } = new URL(target.url);
  const name = hostname.replace(/^\[|\]$/g, "");
  const addresses = isIP(name) > 0 ? [name] : await addressesOf(name, resolve, withinMs);
  const [first] = addresses;
  if (first === undefined) {
    throw new Fault("upstream.unreachable", { message: `${hostname} has no address` });
  }
  const kinds = addresses.map(judgeAddress);
  if (kinds.includes("never")) {
    throw new Fault("upstream.forbidden_address", {
      message: `${hostname} is at ${first}, an address that is never called`,
      field: "baseUrl",
    });
  }
  if (kinds.includes("private") && !target.allowPrivateAddress) {
    throw new Fault("upstream.forbidden_address", {
      message: `${hostname} is at ${first}, a private or loopback address`,
      field: "baseUrl",
      hint: "if that is meant, set allowPrivateAddress",
    });
  }
  if (kinds.includes("public") && protocol !== "https:") {
    throw new Fault("upstream.forbidden_address", {
      message: `${hostname} is a public address: https is needed, so that the credential is not readable on the way`,
      field: "baseUrl",
    });
  }
  return first;
}

export interface Call extends Target {
  readonly method?: "GET" | "POST";
  readonly bearer?: string | undefined;
  readonly body?: string;
  /** For finding the address, and again for the answer. */
  readonly withinMs: number;
}

export interface Answer {
  readonly status: number;
  /** At most a megabyte. */
  readonly text: string;
}

const ANSWER_BYTES_MAX = 1_048_576;

async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  // fetch's body is iterable at run time; the DOM's types do not say so.
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > ANSWER_BYTES_MAX) {
      throw new Fault("upstream.too_large", { message: "the answer is larger than 1 MB" });
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text;
}

/** Faults say what went wrong on the way; any status that came back is an answer. */
export async function callPinned(call: Call, resolve?: Resolve): Promise<Answer> {
  const address = await resolveTarget(call, resolve, call.withinMs);
  const url = new URL(call.url);
  const { host, hostname } = url;
  url.hostname = isIP(address) === 6 ? `[${address}]` : address;
  const headers = {
    host,
    "accept-encoding": "identity",
    ...(call.bearer === undefined ? {} : { authorization: `Bearer ${call.bearer}` }),
    ...(call.body === undefined ? {} : { "content-type": "application/json" }),
  };
  try {
    const response = await fetch(url, {
      method: call.method ?? "GET",
      headers,
      redirect: "manual",
      signal: AbortSignal.timeout(call.withinMs),
      ...(call.body === undefined ? {} : { body: call.body }),
      ...(url.protocol === "https:" ? { tls: { serverName: hostname } } : {}),
    });
    return { status: response.status, text: await readText(response) };
  } catch (error) {
    if (error instanceof Fault) throw error;
    if (error instanceof Error && error.name === "TimeoutError") {
      throw new Fault("upstream.timeout", {
        message: `${host} did not answer within ${call.withinMs} ms`,
      });
    }
    throw new Fault("upstream.unreachable", {
      message: `${host} cannot be reached: ${errorText(error)}`,
      cause: error,
    });
  }
}
