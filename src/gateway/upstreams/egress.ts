// Egress: only registered engines are called, and only at addresses that were checked.
// Invariants: every address that a name resolves to is checked, the connection goes to one that passed (no second look-up that
// could answer otherwise), and private ranges need the engine's explicit permission.

import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import type { SnapshotEngine } from "../../snapshot/types.ts";

const forbidden = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const) {
  forbidden.addSubnet(network, prefix, "ipv4");
}
for (const [network, prefix] of [
  ["::", 128],
  ["::1", 128],
  ["64:ff9b::", 96],
  ["64:ff9b:1::", 48],
  ["100::", 64],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8],
] as const) {
  forbidden.addSubnet(network, prefix, "ipv6");
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** Private, loopback, link-local (cloud metadata), multicast, documentation and translated ranges. */
export function isPrivateAddress(address: string): boolean {
  const plain = MAPPED.exec(address)?.[1] ?? address;
  const family = isIP(plain);
  return family === 0 || forbidden.check(plain, family === 6 ? "ipv6" : "ipv4");
}

/** Where to connect: the checked address in the URL, the name in `host` and for TLS. */
export interface Destination {
  readonly origin: string;
  readonly path: string;
  readonly host: string;
  readonly serverName: string | undefined;
}

export type Resolve = (name: string) => Promise<readonly string[]>;

const systemResolve: Resolve = async (name) =>
  (await lookup(name, { all: true })).map((entry) => entry.address);

const TTL_MS = 30_000;

export interface Egress {
  /** Rejects with an Error that names the address when it is not allowed, or when the name does not resolve. */
  destination(engine: SnapshotEngine): Destination | Promise<Destination>;
}

export function openEgress(nowMs: () => number, resolve: Resolve = systemResolve): Egress {
  const known = new Map<string, { readonly destination: Destination; readonly untilMs: number }>();

  const find = async (engine: SnapshotEngine): Promise<Destination> => {
    const url = new URL(engine.baseUrl);
    const name = url.hostname.replace(/^\[|\]$/g, "");
    const addresses = isIP(name) ? [name] : await resolve(name);
    const mayBePrivate = engine.allowPrivateAddress || engine.kind === "embedded";
    const bad = mayBePrivate ? undefined : addresses.find(isPrivateAddress);
    if (bad !== undefined)
      throw new Error(`${url.hostname} is at ${bad}, a private address this upstream may not use`);
    const [address] = addresses;
    if (address === undefined) throw new Error(`${url.hostname} has no address`);
    const port = url.port === "" ? "" : `:${url.port}`;
    const literal = isIP(address) === 6 ? `[${address}]` : address;
    return {
      origin: `${url.protocol}//${literal}${port}`,
      path: url.pathname.replace(/\/$/, ""),
      host: url.host,
      serverName: url.protocol === "https:" ? name : undefined,
    };
  };

  return {
    destination: (engine) => {
      const cacheKey = `${engine.id} ${engine.baseUrl} ${engine.allowPrivateAddress}`;
      const entry = known.get(cacheKey);
      if (entry !== undefined && entry.untilMs > nowMs()) return entry.destination;
      return find(engine).then((destination) => {
        if (known.size > 10_000) known.clear();
        known.set(cacheKey, { destination, untilMs: nowMs() + TTL_MS });
        return destination;
      });
    },
  };
}
