// SQL of zones, pools, engines and deployments. Rows in, rows out; the organisation comes first, but for the prober's and the
// gateways' view of all tenants. A removed engine keeps its row, because facts refer to it; reads here do not see it.

import type { Kysely, Selectable } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import {
  asId,
  type EngineId,
  type ModelVersionId,
  type OrganisationId,
  type PoolId,
  type ZoneId,
} from "../../kit/id.ts";
import type { CheckedEngine } from "../health/types.ts";
import type { Deployment, Engine, NewEngine, Pool, Zone } from "./types.ts";

type TopologyDb = Kysely<Pick<DB, "zones" | "pools" | "engines" | "deployments">>;

type Row = Selectable<DB["engines"]> & { readonly zone_id: string; readonly zone_name: string };

const toEngine = (row: Row): Engine => ({
  id: asId(row.id),
  ref: row.ref,
  organisationId: asId(row.organisation_id),
  poolId: asId(row.pool_id),
  zoneId: asId(row.zone_id),
  zoneName: row.zone_name,
  name: row.name,
  // The check constraint on engines.kind is ENGINE_KINDS.
  kind: row.kind as Engine["kind"],
  baseUrl: row.base_url,
  credentialSealed: row.credential_sealed,
  allowPrivateAddress: row.allow_private_address,
  enabled: row.enabled,
});

const present = (db: TopologyDb, organisationId: OrganisationId) =>
  db
    .selectFrom("engines as engine")
    .innerJoin("pools as pool", "pool.id", "engine.pool_id")
    .innerJoin("zones as zone", "zone.id", "pool.zone_id")
    .selectAll("engine")
    .select(["zone.id as zone_id", "zone.name as zone_name"])
    .where("engine.organisation_id", "=", organisationId)
    .where("engine.removed_at", "is", null)
    .orderBy("engine.ref");

function placeMethods(db: TopologyDb) {
  return {
    /** A name that is there already stays as it is. */
    insertZone: async (
      organisationId: OrganisationId,
      zone: Pick<Zone, "id" | "name" | "region">,
      at: Date,
    ): Promise<void> => {
      await db
        .insertInto("zones")
        .values({ ...zone, organisation_id: organisationId, created_at: at })
        .onConflict((conflict) => conflict.columns(["organisation_id", "name"]).doNothing())
        .execute();
    },

    /** A name that is there already stays as it is. */
    insertPool: async (organisationId: OrganisationId, pool: Pool, at: Date): Promise<void> => {
      const { zoneId: zone_id, ...rest } = pool;
      await db
        .insertInto("pools")
        .values({ ...rest, zone_id, organisation_id: organisationId, created_at: at })
        .onConflict((conflict) => conflict.columns(["zone_id", "name"]).doNothing())
        .execute();
    },

    selectZones: async (organisationId: OrganisationId): Promise<Zone[]> => {
      const rows = await db
        .selectFrom("zones")
        .select(["id", "ref", "name", "region", "jurisdiction"])
        .where("organisation_id", "=", organisationId)
        .orderBy("ref")
        .execute();
      return rows.map((row) => ({ ...row, id: asId<"zone">(row.id) }));
    },

    selectZoneId: async (
      organisationId: OrganisationId,
      name: string,
    ): Promise<ZoneId | undefined> => {
      const row = await db
        .selectFrom("zones")
        .select("id")
        .where("organisation_id", "=", organisationId)
        .where("name", "=", name)
        .executeTakeFirst();
      return row && asId<"zone">(row.id);
    },

    selectPools: async (organisationId: OrganisationId): Promise<Pool[]> => {
      const rows = await db
        .selectFrom("pools")
        .select(["id", "zone_id", "name", "accelerator"])
        .where("organisation_id", "=", organisationId)
        .orderBy("created_at")
        .orderBy("id")
        .execute();
      return rows.map(({ zone_id, ...row }) => ({
        ...row,
        id: asId<"pool">(row.id),
        zoneId: asId<"zone">(zone_id),
      }));
    },

    selectPoolId: async (
      organisationId: OrganisationId,
      zoneId: ZoneId,
      name: string,
    ): Promise<PoolId | undefined> => {
      const row = await db
        .selectFrom("pools")
        .select("id")
        .where("organisation_id", "=", organisationId)
        .where("zone_id", "=", zoneId)
        .where("name", "=", name)
        .executeTakeFirst();
      return row && asId<"pool">(row.id);
    },
  };
}

function engineMethods(db: TopologyDb) {
  return {
    insertEngine: async (
      organisationId: OrganisationId,
      engine: NewEngine,
      at: Date,
    ): Promise<void> => {
      await db
        .insertInto("engines")
        .values({
          id: engine.id,
          organisation_id: organisationId,
          pool_id: engine.poolId,
          name: engine.name,
          kind: engine.kind,
          base_url: engine.baseUrl,
          credential_sealed: engine.credentialSealed,
          allow_private_address: engine.allowPrivateAddress,
          created_at: at,
        })
        .execute();
    },

    /** In the order they were added. */
    selectEngines: async (organisationId: OrganisationId): Promise<Engine[]> =>
      (await present(db, organisationId).execute()).map(toEngine),

    selectEngine: async (
      organisationId: OrganisationId,
      id: EngineId,
    ): Promise<Engine | undefined> => {
      const row = await present(db, organisationId).where("engine.id", "=", id).executeTakeFirst();
      return row && toEngine(row);
    },

    /** Locks the engine until the transaction ends. */
    selectForChange: async (
      organisationId: OrganisationId,
      id: EngineId,
    ): Promise<Engine | undefined> => {
      const row = await present(db, organisationId)
        .where("engine.id", "=", id)
        .forUpdate("engine")
        .executeTakeFirst();
      return row && toEngine(row);
    },

    /** Locks it until the transaction ends. */
    selectEmbedded: async (organisationId: OrganisationId): Promise<Engine | undefined> => {
      const row = await present(db, organisationId)
        .where("engine.kind", "=", "embedded")
        .forUpdate("engine")
        .executeTakeFirst();
      return row && toEngine(row);
    },

    /** Of all tenants: what the prober asks. */
    selectEnabled: async (): Promise<CheckedEngine[]> => {
      const rows = await db
        .selectFrom("engines")
        .select(["id", "organisation_id", "base_url", "allow_private_address", "credential_sealed"])
        .where("removed_at", "is", null)
        .where("enabled", "=", true)
        .orderBy("ref")
        .execute();
      return rows.map((row) => ({
        id: asId<"engine">(row.id),
        organisationId: asId<"org">(row.organisation_id),
        baseUrl: row.base_url,
        allowPrivateAddress: row.allow_private_address,
        credentialSealed: row.credential_sealed,
      }));
    },

    updateEnabled: async (
      organisationId: OrganisationId,
      id: EngineId,
      enabled: boolean,
    ): Promise<void> => {
      await db
        .updateTable("engines")
        .set({ enabled })
        .where("organisation_id", "=", organisationId)
        .where("id", "=", id)
        .execute();
    },

    updateAddress: async (
      organisationId: OrganisationId,
      engine: Pick<Engine, "id" | "baseUrl" | "credentialSealed">,
    ): Promise<void> => {
      await db
        .updateTable("engines")
        .set({ base_url: engine.baseUrl, credential_sealed: engine.credentialSealed })
        .where("organisation_id", "=", organisationId)
        .where("id", "=", engine.id)
        .execute();
    },

    /** Its credential goes with it. */
    updateRemoved: async (
      organisationId: OrganisationId,
      id: EngineId,
      at: Date,
    ): Promise<void> => {
      await db
        .updateTable("engines")
        .set({ removed_at: at, credential_sealed: null })
        .where("organisation_id", "=", organisationId)
        .where("id", "=", id)
        .execute();
    },
  };
}

function deploymentMethods(db: TopologyDb) {
  return {
    /** How many are new or have another name at the engine now. */
    upsertDeployments: async (
      organisationId: OrganisationId,
      deployments: readonly Deployment[],
      at: Date,
    ): Promise<number> => {
      const values = deployments.map((deployment) => ({
        engine_id: deployment.engineId,
        model_version_id: deployment.modelVersionId,
        upstream_model: deployment.upstreamModel,
        organisation_id: organisationId,
        created_at: at,
      }));
      const result = await db
        .insertInto("deployments")
        .values(values)
        .onConflict((conflict) =>
          conflict
            .columns(["engine_id", "model_version_id"])
            .doUpdateSet((row) => ({ upstream_model: row.ref("excluded.upstream_model") }))
            .whereRef("deployments.upstream_model", "<>", "excluded.upstream_model"),
        )
        .executeTakeFirst();
      return Number(result.numInsertedOrUpdatedRows ?? 0n);
    },

    /** Other versions under the same name at the same engine; how many there were. */
    deleteReplaced: async (organisationId: OrganisationId, by: Deployment): Promise<number> => {
      const result = await db
        .deleteFrom("deployments")
        .where("organisation_id", "=", organisationId)
        .where("engine_id", "=", by.engineId)
        .where("upstream_model", "=", by.upstreamModel)
        .where("model_version_id", "!=", by.modelVersionId)
        .executeTakeFirst();
      return Number(result.numDeletedRows);
    },

    deleteDeployments: async (organisationId: OrganisationId, id: EngineId): Promise<void> => {
      await db
        .deleteFrom("deployments")
        .where("organisation_id", "=", organisationId)
        .where("engine_id", "=", id)
        .execute();
    },

    selectDeployments: async (organisationId: OrganisationId): Promise<Deployment[]> => {
      const rows = await db
        .selectFrom("deployments")
        .select(["engine_id", "model_version_id", "upstream_model"])
        .where("organisation_id", "=", organisationId)
        .execute();
      return rows.map((row) => ({
        engineId: asId<"engine">(row.engine_id),
        modelVersionId: asId<"version">(row.model_version_id),
        upstreamModel: row.upstream_model,
      }));
    },

    /** Version → names of the enabled engines that serve it. */
    selectServing: async (
      organisationId: OrganisationId,
    ): Promise<ReadonlyMap<ModelVersionId, readonly string[]>> => {
      const rows = await db
        .selectFrom("deployments as deployment")
        .innerJoin("engines as engine", "engine.id", "deployment.engine_id")
        .select(["deployment.model_version_id", "engine.name"])
        .where("deployment.organisation_id", "=", organisationId)
        .where("engine.removed_at", "is", null)
        .where("engine.enabled", "=", true)
        .orderBy("engine.ref")
        .execute();
      const names = new Map<ModelVersionId, string[]>();
      for (const row of rows) {
        const id = asId<"version">(row.model_version_id);
        names.set(id, [...(names.get(id) ?? []), row.name]);
      }
      return names;
    },
  };
}

export type TopologyStore = ReturnType<typeof openTopologyStore>;

export function openTopologyStore(all: Kysely<DB>) {
  const db = all.$pickTables<"zones" | "pools" | "engines" | "deployments">();
  return { ...placeMethods(db), ...engineMethods(db), ...deploymentMethods(db) };
}
