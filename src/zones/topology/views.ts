// How people see engines: with the public names they serve and what the last probe said.
// Invariant: a view never holds a credential, only whether there is one.

import type { Transaction } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import type { EngineId, ModelVersionId, OrganisationId } from "../../kit/id.ts";
import type { Clock } from "../../kit/clock.ts";
import { engineState, toProbeView } from "../health/rules.ts";
import type { Probe } from "../health/types.ts";
import { openTopologyStore } from "./store.ts";
import type {
  Deployment,
  Engine,
  EngineView,
  Pool,
  UpstreamView,
  Zone,
  ZoneView,
} from "./types.ts";

/** What a view shows beside the engine's own row. */
export interface Sight {
  readonly models: ReadonlyMap<EngineId, readonly string[]>;
  readonly probes: ReadonlyMap<EngineId, Probe>;
  readonly nowMs: number;
}

type Read<T> = (trx: Transaction<DB>, organisationId: OrganisationId) => Promise<T>;

interface SightDeps {
  readonly clock: Clock;
  readonly models: { readonly names: Read<ReadonlyMap<ModelVersionId, string>> };
  readonly health: { readonly probes: Read<ReadonlyMap<EngineId, Probe>> };
}

function namesByEngine(
  deployments: readonly Deployment[],
  names: ReadonlyMap<ModelVersionId, string>,
): ReadonlyMap<EngineId, readonly string[]> {
  const byEngine = Map.groupBy(deployments, (deployment) => deployment.engineId);
  return new Map(
    [...byEngine].map(([id, members]) => [
      id,
      members.flatMap((member) => names.get(member.modelVersionId) ?? []).toSorted(),
    ]),
  );
}

export async function selectSight(
  deps: SightDeps,
  trx: Transaction<DB>,
  organisationId: OrganisationId,
): Promise<Sight> {
  const deployments = await openTopologyStore(trx).selectDeployments(organisationId);
  const names = await deps.models.names(trx, organisationId);
  const probes = await deps.health.probes(trx, organisationId);
  return { models: namesByEngine(deployments, names), probes, nowMs: deps.clock.nowMs() };
}

function toEngineView(engine: Engine, { models, probes, nowMs }: Sight): EngineView {
  const { id, name, kind, baseUrl, enabled } = engine;
  const probe = probes.get(id);
  return {
    id,
    name,
    kind,
    baseUrl,
    enabled,
    models: [...(models.get(id) ?? [])],
    state: engineState(probe, nowMs),
    probe: toProbeView(probe),
  };
}

export const toUpstreamView = (engine: Engine, sight: Sight): UpstreamView => ({
  ...toEngineView(engine, sight),
  zone: engine.zoneName,
  hasCredential: engine.credentialSealed !== null,
});

export function toZoneViews(
  zones: readonly Zone[],
  pools: readonly Pool[],
  engines: readonly Engine[],
  sight: Sight,
): ZoneView[] {
  const inPool = Map.groupBy(engines, (engine) => engine.poolId);
  const inZone = Map.groupBy(pools, (pool) => pool.zoneId);
  return zones.map(({ ref: _, ...zone }) => ({
    ...zone,
    pools: (inZone.get(zone.id) ?? []).map(({ zoneId: _, ...pool }) => ({
      ...pool,
      engines: (inPool.get(pool.id) ?? []).map((engine) => toEngineView(engine, sight)),
    })),
  }));
}
