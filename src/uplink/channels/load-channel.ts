// The load feed over the uplink: counts of open requests to the gateways of the same cell, by way of control.
// Invariant: at most one delta is under way and at most one waits, the newest; loss is allowed, since counts expire.

import type { LoadDelta, LoadFeed } from "../../zones/routing/types.ts";
import type { ChannelDeps, GatewaySession } from "./gateway-session.ts";
import { within } from "../../kit/pause.ts";
import { PATHS, toWire } from "../types.ts";

export interface LoadChannel extends LoadFeed {
  begin(session: GatewaySession): void;
  /** How many others listen; nothing is sent to nobody. */
  setPeers(count: number): void;
  readonly peers: number;
  received(delta: LoadDelta): void;
}

const SEND_WITHIN_MS = 1_000;

class HttpLoad implements LoadChannel {
  readonly #deps: Pick<ChannelDeps, "client" | "log">;
  readonly #listeners = new Set<(delta: LoadDelta) => void>();
  #session: GatewaySession | undefined;
  peers = 0;
  #waiting: LoadDelta | undefined;
  #busy = false;

  constructor(deps: Pick<ChannelDeps, "client" | "log">) {
    this.#deps = deps;
  }

  begin(session: GatewaySession): void {
    this.#session = session;
    this.peers = 0;
  }

  setPeers(count: number): void {
    this.peers = count;
    this.#deps.log.debug("uplink.peers", { count });
  }

  received(delta: LoadDelta): void {
    for (const listener of this.#listeners) listener(delta);
  }

  subscribe(listener: (delta: LoadDelta) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  publish(delta: LoadDelta): void {
    if (this.peers === 0) return;
    this.#waiting = delta;
    if (!this.#busy) void this.#send();
  }

  async #send(): Promise<void> {
    const { client, log } = this.#deps;
    this.#busy = true;
    while (this.#waiting && this.#session && !this.#session.signal.aborted) {
      const { epoch, signal } = this.#session;
      // Whoever made the delta may not have heard of the newest session yet.
      const body = toWire({ ...this.#waiting, epoch });
      this.#waiting = undefined;
      const call = { method: "POST", path: PATHS.feed, epoch, body } as const;
      await client
        .send({ ...call, signal: within(SEND_WITHIN_MS, signal) })
        .catch((error: unknown) => log.debug("uplink.feed_failed", { reason: String(error) }));
    }
    this.#waiting = undefined;
    this.#busy = false;
  }
}

export function openLoadChannel(deps: Pick<ChannelDeps, "client" | "log">): LoadChannel {
  return new HttpLoad(deps);
}
