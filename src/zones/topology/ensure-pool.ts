// The pool of a place, made with its zone where either is missing.
// Invariant: two callers at once end with the same zone and the same pool.

import type { Clock, Dice } from "../../kit/clock.ts";
import { makeId, type OrganisationId, type PoolId } from "../../kit/id.ts";
import type { TopologyStore } from "./store.ts";
import type { Place } from "./types.ts";

export interface IdDeps {
  readonly clock: Clock;
  readonly dice: Dice;
}

export async function ensurePool(
  { clock, dice }: IdDeps,
  store: TopologyStore,
  organisationId: OrganisationId,
  place: Place,
): Promise<PoolId> {
  const at = new Date(clock.nowMs());
  const { zone: name, region, pool, accelerator } = place;
  await store.insertZone(organisationId, { id: makeId("zone", clock, dice), name, region }, at);
  const zoneId = await store.selectZoneId(organisationId, name);
  if (!zoneId) throw new Error(`the zone ${name} was neither found nor made`);
  const fresh = { id: makeId("pool", clock, dice), zoneId, name: pool, accelerator };
  await store.insertPool(organisationId, fresh, at);
  const poolId = await store.selectPoolId(organisationId, zoneId, pool);
  if (!poolId) throw new Error(`the pool ${pool} was neither found nor made`);
  return poolId;
}
