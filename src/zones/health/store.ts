// SQL of probes: the latest of each engine. Rows in, rows out; the organisation comes first.

import type { Kysely } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { asId, type EngineId, type OrganisationId } from "../../kit/id.ts";
import type { Probe } from "./types.ts";

export function openProbeStore(all: Kysely<DB>) {
  const db = all.$pickTables<"engine_probes">();
  return {
    upsert: async (organisationId: OrganisationId, probe: Probe): Promise<void> => {
      const { ok, detail, at } = probe;
      const seen = { ok, detail, latency_ms: probe.latencyMs, at };
      await db
        .insertInto("engine_probes")
        .values({ engine_id: probe.engineId, organisation_id: organisationId, ...seen })
        .onConflict((conflict) => conflict.column("engine_id").doUpdateSet(seen))
        .execute();
    },

    selectAll: async (organisationId: OrganisationId): Promise<ReadonlyMap<EngineId, Probe>> => {
      const rows = await db
        .selectFrom("engine_probes")
        .selectAll()
        .where("organisation_id", "=", organisationId)
        .execute();
      return new Map(
        rows.map((row) => {
          const engineId = asId<"engine">(row.engine_id);
          const { ok, detail, latency_ms: latencyMs, at } = row;
          return [engineId, { engineId, ok, detail, latencyMs, at }];
        }),
      );
    },
  };
}
