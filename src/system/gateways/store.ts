// SQL of the gateways' registry. Gateways belong to the installation, not to a tenant.
// Invariant: an epoch only ever rises, in one statement; what an older epoch says changes nothing.

import type { Kysely, Selectable } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import type { GatewayIdentity } from "./types.ts";

export function openGatewayStore(all: Kysely<DB>) {
  const db = all.$pickTables<"gateways">();
  return {
    /** The new epoch: 1 for a gateway never seen before. */
    insertSession: async (identity: GatewayIdentity, at: Date): Promise<number> => {
      const { gateway, cell, address, productVersion } = identity;
      const row = { cell, address, product_version: productVersion, opened_at: at, seen_at: at };
      const { epoch } = await db
        .insertInto("gateways")
        .values({ id: gateway, epoch: 1, ...row })
        .onConflict((conflict) =>
          conflict.column("id").doUpdateSet((old) => ({
            ...row,
            epoch: old("gateways.epoch", "+", 1),
            left_at: null,
          })),
        )
        .returning("epoch")
        .executeTakeFirstOrThrow();
      return epoch;
    },
    updateSeen: async (gateway: string, epoch: number, at: Date): Promise<void> => {
      await db
        .updateTable("gateways")
        .set({ seen_at: at })
        .where("id", "=", gateway)
        .where("epoch", "=", epoch)
        .execute();
    },
    updateLeft: async (gateway: string, epoch: number, at: Date): Promise<void> => {
      await db
        .updateTable("gateways")
        .set({ seen_at: at, left_at: at })
        .where("id", "=", gateway)
        .where("epoch", "=", epoch)
        .execute();
    },
    selectSeenAfter: (after: Date): Promise<Selectable<DB["gateways"]>[]> =>
      db.selectFrom("gateways").selectAll().where("seen_at", ">", after).orderBy("id").execute(),
  };
}
