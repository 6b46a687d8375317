// The registry: what callers can ask for, and the one way in which a public name and its version come to exist.
// Invariant: ensuring what is there already changes nothing, so pulls, upstreams and set-up can repeat themselves.

import type { Transaction } from "kysely";
import type { ChangeDeps } from "../../db/change.types.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Principal } from "../../http/types.ts";
import type { Clock, Dice } from "../../kit/clock.ts";
import { Fault } from "../../kit/fault.ts";
import { makeId, type ModelId, type ModelVersionId, type OrganisationId } from "../../kit/id.ts";
import { chooseVersion, planVersion } from "./rules.ts";
import { openModelStore } from "./store.ts";
import type { Model, ModelList, ModelVersion, ModelView, VersionWish } from "./types.ts";

export interface RegistryDeps extends Pick<ChangeDeps, "inTransaction"> {
  readonly clock: Clock;
  /** Version → names of the enabled engines that serve it. */
  readonly engineNames: (
    trx: Transaction<DB>,
    organisationId: OrganisationId,
  ) => Promise<ReadonlyMap<ModelVersionId, readonly string[]>>;
  /** The public names that have a price at that time. */
  readonly pricedNames: (
    trx: Transaction<DB>,
    organisationId: OrganisationId,
    atMs: number,
  ) => Promise<ReadonlySet<string>>;
}

export interface EnsureDeps extends Pick<ChangeDeps, "markSnapshotDirty"> {
  readonly clock: Clock;
  readonly dice: Dice;
}

export interface RegistryService {
  list(asker: Pick<Principal, "organisationId">): Promise<ModelList>;
}

function toView(
  model: Model,
  engineNames: ReadonlyMap<ModelVersionId, readonly string[]>,
  priced: ReadonlySet<string>,
): ModelView[] {
  const version = chooseVersion(model.versions, ({ id }) => engineNames.has(id));
  if (!version) return [];
  return [
    {
      id: model.id,
      name: model.name,
      ownedBy: model.ownedBy,
      version: version.version,
      contextTokens: version.contextTokens,
      engines: [...(engineNames.get(version.id) ?? [])],
      priced: priced.has(model.name),
    },
  ];
}

export function createRegistryService(deps: RegistryDeps): RegistryService {
  return {
    list: ({ organisationId }) =>
      deps.inTransaction(async (trx) => {
        const models = await openModelStore(trx).selectModels(organisationId);
        const engineNames = await deps.engineNames(trx, organisationId);
        const priced = await deps.pricedNames(trx, organisationId, deps.clock.nowMs());
        return {
          items: models.flatMap((model) => toView(model, engineNames, priced)),
          next: null,
        };
      }),
  };
}

interface Planned {
  readonly ids: Map<string, ModelVersionId>;
  readonly added: ModelVersion[];
  readonly learnt: ModelVersion[];
}

function planAll(
  deps: EnsureDeps,
  wishes: readonly VersionWish[],
  modelIds: ReadonlyMap<string, ModelId>,
  versions: readonly ModelVersion[],
): Planned {
  const versionsOf = Map.groupBy(versions, (version) => version.modelId);
  const planned: Planned = { ids: new Map(), added: [], learnt: [] };
  for (const wish of wishes) {
    const modelId = modelIds.get(wish.name);
    if (!modelId) throw new Error(`${wish.name} was neither found nor made`);
    const plan = planVersion(versionsOf.get(modelId) ?? [], wish);
    if (!plan.ok) throw new Fault(plan.code, plan);
    if (plan.change === "add") {
      const { name: _, ownedBy: __, ...facts } = wish;
      const id = makeId("version", deps.clock, deps.dice);
      planned.added.push({ ...facts, id, modelId, version: plan.version });
      planned.ids.set(wish.name, id);
      continue;
    }
    if (plan.change === "learn") planned.learnt.push(plan.found);
    planned.ids.set(wish.name, plan.found.id);
  }
  return planned;
}

/**
 * Public name → its version's id; each name at most once. The audit row is the caller's, whose change this is a part of.
 * Throws `change.conflict` when a version exists with another artifact.
 */
export async function ensureVersions(
  deps: EnsureDeps,
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  wishes: readonly VersionWish[],
): Promise<ReadonlyMap<string, ModelVersionId>> {
  if (wishes.length === 0) return new Map();
  const store = openModelStore(trx);
  const at = new Date(deps.clock.nowMs());
  const models = wishes.map(({ name, ownedBy }) => ({
    id: makeId("model", deps.clock, deps.dice),
    name,
    ownedBy,
  }));
  await store.insertModels(organisationId, models, at);
  const modelIds = await store.selectForChange(
    organisationId,
    wishes.map((wish) => wish.name),
  );
  const versions = await store.selectVersions(organisationId, [...modelIds.values()]);
  const { ids, added, learnt } = planAll(deps, wishes, modelIds, versions);
  if (added.length > 0) await store.insertVersions(organisationId, added, at);
  for (const version of learnt) await store.updateFacts(organisationId, version);
  if (added.length + learnt.length > 0) await deps.markSnapshotDirty(trx);
  return ids;
}

export async function ensureVersion(
  deps: EnsureDeps,
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  wish: VersionWish,
): Promise<ModelVersionId> {
  const id = (await ensureVersions(deps, trx, organisationId, [wish])).get(wish.name);
  if (!id) throw new Error(`${wish.name} has no version after it was ensured`);
  return id;
}

/** For other rooms' views: the public name of each version. */
export function selectModelNames(
  trx: Transaction<DB>,
  organisationId: OrganisationId,
): Promise<ReadonlyMap<ModelVersionId, string>> {
  return openModelStore(trx).selectNames(organisationId);
}
