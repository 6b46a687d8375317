// Use cases of the gateways' registry: a session opens, a gateway was heard from, it says goodbye; who there is.
// Invariant: `seen` is written before control grants anything on its strength, so after a restart `agoMs` is never too high.

import type { Kysely } from "kysely";
import type { SeenGateway } from "../../billing/budgets/types.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Clock } from "../../kit/clock.ts";
import type { GatewaySeen } from "../status/types.ts";
import { openGatewayStore } from "./store.ts";
import type { GatewayIdentity } from "./types.ts";

export interface GatewaysDeps {
  readonly db: Kysely<DB>;
  readonly clock: Pick<Clock, "nowMs">;
}

export interface GatewaysService {
  /** Answers the session's epoch: one more than the gateway's last. */
  open(identity: GatewayIdentity): Promise<number>;
  /** At most one write a gateway in `SEEN_EVERY_MS`; rejects when it is due and cannot be written. */
  seen(gateway: string, epoch: number): Promise<void>;
  leave(gateway: string, epoch: number): Promise<void>;
  /** Without those that said goodbye or were silent for a day. */
  list(): Promise<GatewaySeen[]>;
  /** Heard from within `withinMs`; read once at control's start. */
  seenSince(withinMs: number): Promise<SeenGateway[]>;
}

export const SEEN_EVERY_MS = 2_000;
const LISTED_MS = 86_400_000;

export function createGatewaysService({ db, clock }: GatewaysDeps): GatewaysService {
  const store = openGatewayStore(db);
  /** When each live gateway was last written; as many entries as there are gateways. */
  const writtenAtMs = new Map<string, number>();
  const since = (ms: number) => store.selectSeenAfter(new Date(clock.nowMs() - ms));
  return {
    open: async (identity) => {
      const nowMs = clock.nowMs();
      const epoch = await store.insertSession(identity, new Date(nowMs));
      writtenAtMs.set(identity.gateway, nowMs);
      return epoch;
    },
    seen: async (gateway, epoch) => {
      const nowMs = clock.nowMs();
      if (nowMs - (writtenAtMs.get(gateway) ?? -Infinity) < SEEN_EVERY_MS) return;
      await store.updateSeen(gateway, epoch, new Date(nowMs));
      writtenAtMs.set(gateway, nowMs);
    },
    leave: async (gateway, epoch) => {
      await store.updateLeft(gateway, epoch, new Date(clock.nowMs()));
      writtenAtMs.delete(gateway);
    },
    list: async () =>
      (await since(LISTED_MS))
        .filter((row) => row.left_at === null)
        .map((row) => ({
          id: row.id,
          epoch: row.epoch,
          cell: row.cell,
          address: row.address,
          productVersion: row.product_version,
          openedAt: row.opened_at,
          seenAt: row.seen_at,
        })),
    seenSince: async (withinMs) => {
      const nowMs = clock.nowMs();
      return (await since(withinMs + SEEN_EVERY_MS)).map((row) => ({
        gateway: row.id,
        agoMs: Math.max(0, nowMs - row.seen_at.getTime() - SEEN_EVERY_MS),
        left: row.left_at !== null,
        // A session may also have resumed: then this only errs on the safe side.
        predecessorAgoMs: row.epoch === 1 ? null : Math.max(0, nowMs - row.opened_at.getTime()),
      }));
    },
  };
}
