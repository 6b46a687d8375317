// Upstreams and zones: add, list, switch on and off, remove, test.
// Invariant: everything that can fail outside (address, model list) is asked before the transaction; inside it all is written or nothing.

import type { Transaction } from "kysely";
import type { ChangeDeps } from "../../db/change.types.ts";
import { isUniqueViolation } from "../../db/errors.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Principal } from "../../http/types.ts";
import type { Clock, Dice } from "../../kit/clock.ts";
import { resolveTarget } from "../../kit/egress.ts";
import { Fault, type Refusal } from "../../kit/fault.ts";
import { makeId, type EngineId, type ModelVersionId, type OrganisationId } from "../../kit/id.ts";
import { seal } from "../../kit/secret.ts";
import type { VersionWish } from "../../models/registry/types.ts";
import type { AskTarget, CheckedEngine, EngineAnswer, Probe } from "../health/types.ts";
import { ensurePool } from "./ensure-pool.ts";
import { apiPlace, judgeBaseUrl, judgeListed, typedModels, type ServedModel } from "./rules.ts";
import { openTopologyStore } from "./store.ts";
import type {
  Engine,
  UpstreamChange,
  UpstreamInput,
  UpstreamList,
  UpstreamTest,
  UpstreamView,
  ZoneList,
} from "./types.ts";
import { selectSight, toUpstreamView, toZoneViews } from "./views.ts";

type Trx = Transaction<DB>;

/** What this room needs of the registry. */
export interface ModelPort {
  ensure(
    trx: Trx,
    organisationId: OrganisationId,
    wishes: readonly VersionWish[],
  ): Promise<ReadonlyMap<string, ModelVersionId>>;
  names(trx: Trx, organisationId: OrganisationId): Promise<ReadonlyMap<ModelVersionId, string>>;
}

/** What this room needs of health. */
export interface HealthPort {
  /** An address that is not stored yet. */
  ask(target: AskTarget, withinMs: number): Promise<EngineAnswer>;
  /** A stored engine; what came of it is remembered as its latest probe. */
  check(engine: CheckedEngine): Promise<EngineAnswer>;
  probes(trx: Trx, organisationId: OrganisationId): Promise<ReadonlyMap<EngineId, Probe>>;
}

export interface TopologyDeps extends ChangeDeps {
  readonly clock: Clock;
  readonly dice: Dice;
  /** deriveKey(master, 'credential') */
  readonly credentialKey: Uint8Array;
  readonly models: ModelPort;
  readonly health: HealthPort;
}

/** A person waits for it. */
const DISCOVER_WITHIN_MS = 10_000;

type Asker = Pick<Principal, "organisationId" | "keyId">;

export interface TopologyService {
  listUpstreams(asker: Asker): Promise<UpstreamList>;
  createUpstream(asker: Asker, input: UpstreamInput): Promise<UpstreamView>;
  changeUpstream(asker: Asker, id: EngineId, change: UpstreamChange): Promise<UpstreamView>;
  removeUpstream(asker: Asker, id: EngineId): Promise<void>;
  testUpstream(asker: Asker, id: EngineId): Promise<UpstreamTest>;
  listZones(asker: Asker): Promise<ZoneList>;
}

const toFault = (refusal: Refusal) => new Fault(refusal.code, refusal);

const notFound = (id: EngineId) =>
  new Fault("entity.not_found", { message: `there is no upstream ${id}` });

/** Typed models are taken at their word; without them the upstream is asked. */
async function findModels(
  deps: TopologyDeps,
  input: UpstreamInput,
  target: AskTarget,
): Promise<readonly ServedModel[]> {
  const typed = typedModels(input);
  if (typed.length > 0) return typed;
  const { judged } = await deps.health.ask(target, DISCOVER_WITHIN_MS);
  if (!judged.ok)
    throw new Fault(judged.code, {
      ...judged,
      message: `its models cannot be discovered: ${judged.message}`,
      hint: judged.hint ?? "name the models that it serves, or mend the upstream first",
    });
  const listed = judgeListed(input.name, judged.models);
  if (!listed.ok) throw toFault(listed);
  return listed.models;
}

const toWish = ({ name, ownedBy, contextTokens }: ServedModel): VersionWish => ({
  name,
  ownedBy,
  contextTokens,
  version: null,
  outputTokensMax: null,
  artifactDigest: null,
  licence: "",
});

async function insertUpstream(
  deps: TopologyDeps,
  trx: Trx,
  { organisationId, keyId }: Asker,
  input: UpstreamInput,
  models: readonly ServedModel[],
): Promise<UpstreamView> {
  const store = openTopologyStore(trx);
  const at = new Date(deps.clock.nowMs());
  const id = makeId("engine", deps.clock, deps.dice);
  const { name, baseUrl, apiKey, allowPrivateAddress, zone } = input;
  const poolId = await ensurePool(deps, store, organisationId, apiPlace(zone));
  const credentialSealed =
    apiKey === undefined ? null : seal(deps.credentialKey, id, new TextEncoder().encode(apiKey));
  const place = { id, poolId, name, kind: "openai" as const };
  await store.insertEngine(
    organisationId,
    { ...place, baseUrl, credentialSealed, allowPrivateAddress },
    at,
  );
  const versions = await deps.models.ensure(trx, organisationId, models.map(toWish));
  const deployments = models.flatMap(({ name, upstreamModel }) => {
    const modelVersionId = versions.get(name);
    return modelVersionId ? [{ engineId: id, modelVersionId, upstreamModel }] : [];
  });
  await store.upsertDeployments(organisationId, deployments, at);
  const hasCredential = credentialSealed !== null;
  await deps.audit(trx, {
    organisationId,
    actor: keyId,
    action: "upstream.create",
    subject: id,
    details: { name, baseUrl, zone, allowPrivateAddress, hasCredential, models: models.length },
  });
  await deps.markSnapshotDirty(trx);
  return viewOf(deps, trx, organisationId, id);
}

async function viewOf(
  deps: TopologyDeps,
  trx: Trx,
  organisationId: OrganisationId,
  id: EngineId,
): Promise<UpstreamView> {
  const engine = await openTopologyStore(trx).selectEngine(organisationId, id);
  if (!engine) throw notFound(id);
  return toUpstreamView(engine, await selectSight(deps, trx, organisationId));
}

async function createUpstream(
  deps: TopologyDeps,
  asker: Asker,
  input: UpstreamInput,
): Promise<UpstreamView> {
  const judged = judgeBaseUrl(input.baseUrl);
  if (!judged.ok) throw toFault(judged);
  const { baseUrl } = judged;
  const { allowPrivateAddress, apiKey: bearer } = input;
  await resolveTarget({ url: baseUrl, allowPrivateAddress });
  const models = await findModels(deps, input, { baseUrl, allowPrivateAddress, bearer });
  try {
    return await deps.inTransaction((trx) =>
      insertUpstream(deps, trx, asker, { ...input, baseUrl }, models),
    );
  } catch (error) {
    if (!isUniqueViolation(error, "engines_by_name")) throw error;
    throw new Fault("entity.exists", {
      message: `there is an upstream named ${input.name} already`,
      field: "name",
    });
  }
}

async function changeUpstream(
  deps: TopologyDeps,
  { organisationId, keyId }: Asker,
  id: EngineId,
  { enabled }: UpstreamChange,
): Promise<UpstreamView> {
  return deps.inTransaction(async (trx) => {
    const store = openTopologyStore(trx);
    const engine = await store.selectForChange(organisationId, id);
    if (!engine) throw notFound(id);
    if (engine.enabled !== enabled) {
      await store.updateEnabled(organisationId, id, enabled);
      await deps.audit(trx, {
        organisationId,
        actor: keyId,
        action: "upstream.change",
        subject: id,
        details: { name: engine.name, enabled },
      });
      await deps.markSnapshotDirty(trx);
    }
    return viewOf(deps, trx, organisationId, id);
  });
}

async function removeUpstream(
  deps: TopologyDeps,
  { organisationId, keyId }: Asker,
  id: EngineId,
): Promise<void> {
  await deps.inTransaction(async (trx) => {
    const store = openTopologyStore(trx);
    const engine = await store.selectForChange(organisationId, id);
    if (!engine) throw notFound(id);
    if (engine.kind === "embedded")
      throw new Fault("upstream.embedded", {
        message: `${engine.name} is the engine that comes with this installation: it cannot be removed`,
        hint: "disable it instead",
      });
    await store.deleteDeployments(organisationId, id);
    await store.updateRemoved(organisationId, id, new Date(deps.clock.nowMs()));
    await deps.audit(trx, {
      organisationId,
      actor: keyId,
      action: "upstream.remove",
      subject: id,
      details: { name: engine.name, baseUrl: engine.baseUrl },
    });
    await deps.markSnapshotDirty(trx);
  });
}

async function testUpstream(
  deps: TopologyDeps,
  { organisationId }: Asker,
  id: EngineId,
): Promise<UpstreamTest> {
  const engine: Engine | undefined = await deps.inTransaction((trx) =>
    openTopologyStore(trx).selectEngine(organisationId, id),
  );
  if (!engine) throw notFound(id);
  const { judged, latencyMs } = await deps.health.check(engine);
  if (!judged.ok) return { ok: false, latencyMs, detail: judged.message, models: [] };
  const models = (judged.models ?? []).map((model) => model.id);
  return { ok: true, latencyMs, detail: judged.detail, models };
}

export function createTopologyService(deps: TopologyDeps): TopologyService {
  return {
    listUpstreams: ({ organisationId }) =>
      deps.inTransaction(async (trx) => {
        const engines = await openTopologyStore(trx).selectEngines(organisationId);
        const sight = await selectSight(deps, trx, organisationId);
        return { items: engines.map((engine) => toUpstreamView(engine, sight)), next: null };
      }),
    createUpstream: (asker, input) => createUpstream(deps, asker, input),
    changeUpstream: (asker, id, change) => changeUpstream(deps, asker, id, change),
    removeUpstream: (asker, id) => removeUpstream(deps, asker, id),
    testUpstream: (asker, id) => testUpstream(deps, asker, id),
    listZones: ({ organisationId }) =>
      deps.inTransaction(async (trx) => {
        const store = openTopologyStore(trx);
        const zones = await store.selectZones(organisationId);
        const pools = await store.selectPools(organisationId);
        const engines = await store.selectEngines(organisationId);
        const sight = await selectSight(deps, trx, organisationId);
        return { items: toZoneViews(zones, pools, engines, sight), next: null };
      }),
  };
}

/** For the prober: the enabled engines of all tenants. */
export function selectEnabledEngines(trx: Trx): Promise<CheckedEngine[]> {
  return openTopologyStore(trx).selectEnabled();
}

/** For the registry's view: version → names of the enabled engines that serve it. */
export function selectServingEngines(
  trx: Trx,
  organisationId: OrganisationId,
): Promise<ReadonlyMap<ModelVersionId, readonly string[]>> {
  return openTopologyStore(trx).selectServing(organisationId);
}
