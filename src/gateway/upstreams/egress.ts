// Egress: only registered engines are called, and only at addresses that kit/egress allows.
// Invariants: the connection goes to an address that was judged (no second look-up that could answer otherwise), and what was
// judged is judged anew after half a minute.

import { isIP } from "node:net";
import { resolveTarget, type Resolve } from "../../kit/egress.ts";
import type { SnapshotEngine } from "../../snapshot/types.ts";

/** Where to connect: the checked address in the URL, the name in `host` and for TLS. */
export interface Destination {
  readonly origin: string;
  readonly path: string;
  readonly host: string;
  readonly serverName: string | undefined;
}

const TTL_MS = 30_000;

export interface Egress {
  /** Rejects with a Fault when the address is not allowed, or when the name does not resolve in time. */
  destination(engine: SnapshotEngine): Destination | Promise<Destination>;
}

export function openEgress(nowMs: () => number, resolve?: Resolve): Egress {
  const known = new Map<string, { readonly destination: Destination; readonly untilMs: number }>();

  const find = async (engine: SnapshotEngine): Promise<Destination> => {
    const url = new URL(engine.baseUrl);
    const address = await resolveTarget(
      {
        url: engine.baseUrl,
        allowPrivateAddress: engine.allowPrivateAddress || engine.kind === "embedded",
      },
      resolve,
    );
    const port = url.port === "" ? "" : `:${url.port}`;
    const literal = isIP(address) === 6 ? `[${address}]` : address;
    return {
      origin: `${url.protocol}//${literal}${port}`,
      path: url.pathname.replace(/\/$/, ""),
      host: url.host,
      serverName: url.protocol === "https:" ? url.hostname.replace(/^\[|\]$/g, "") : undefined,
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
