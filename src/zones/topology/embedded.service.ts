// Set-up of the embedded engine: its place, its address of today, and what it serves. Called at each start, and by pulls.
// Invariant: what is right already is not written again, so a restart on the same port makes no new snapshot.

import type { Transaction } from "kysely";
import type { ChangeDeps } from "../../db/change.types.ts";
import type { DB } from "../../db/schema.gen.ts";
import { Fault } from "../../kit/fault.ts";
import { makeId, type EngineId, type OrganisationId } from "../../kit/id.ts";
import { seal } from "../../kit/secret.ts";
import { openCredential } from "./credential.rules.ts";
import { ensurePool, type IdDeps } from "./ensure-pool.ts";
import { LOCAL_PLACE } from "./rules.ts";
import { openTopologyStore } from "./store.ts";
import type { Deployment, Engine } from "./types.ts";

export interface EmbeddedDeps extends IdDeps, Pick<ChangeDeps, "audit" | "markSnapshotDirty"> {
  /** deriveKey(master, 'credential') */
  readonly credentialKey: Uint8Array;
}

export interface EmbeddedWish {
  readonly name: string;
  /** `http://127.0.0.1:4120/v1` */
  readonly baseUrl: string;
  /** base64url(deriveKey(master, 'engine')) */
  readonly bearer: string;
}

const isCurrent = (key: Uint8Array, engine: Engine, wish: EmbeddedWish) =>
  engine.baseUrl === wish.baseUrl &&
  engine.credentialSealed !== null &&
  openCredential(key, engine.id, engine.credentialSealed) === wish.bearer;

/** The embedded engine in zone `local`, pool `cpu`, with this address and credential. An operator's "disabled" stays. */
export async function ensureEmbedded(
  deps: EmbeddedDeps,
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  wish: EmbeddedWish,
): Promise<EngineId> {
  const store = openTopologyStore(trx);
  const found = await store.selectEmbedded(organisationId);
  if (found && isCurrent(deps.credentialKey, found, wish)) return found.id;
  const id = found?.id ?? makeId("engine", deps.clock, deps.dice);
  const { name, baseUrl, bearer } = wish;
  const credentialSealed = seal(deps.credentialKey, id, new TextEncoder().encode(bearer));
  if (found) await store.updateAddress(organisationId, { id, baseUrl, credentialSealed });
  else {
    const poolId = await ensurePool(deps, store, organisationId, LOCAL_PLACE);
    const place = { id, poolId, name, kind: "embedded" as const };
    await store.insertEngine(
      organisationId,
      { ...place, baseUrl, credentialSealed, allowPrivateAddress: true },
      new Date(deps.clock.nowMs()),
    );
  }
  await deps.audit(trx, {
    organisationId,
    actor: "system",
    action: found ? "upstream.change" : "upstream.create",
    subject: id,
    details: { name: found?.name ?? name, baseUrl },
  });
  await deps.markSnapshotDirty(trx);
  return id;
}

/** Where a pulled model goes; undefined before the first set-up. */
export async function findEmbedded(
  trx: Transaction<DB>,
  organisationId: OrganisationId,
): Promise<EngineId | undefined> {
  return (await openTopologyStore(trx).selectEmbedded(organisationId))?.id;
}

/**
 * The engine serves this version under that name from now on, and no other: one name is one file there.
 * The audit row is the caller's (a pull, set-up).
 */
export async function ensureDeployment(
  deps: Pick<EmbeddedDeps, "clock" | "markSnapshotDirty">,
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  deployment: Deployment,
): Promise<void> {
  const store = openTopologyStore(trx);
  if (!(await store.selectForChange(organisationId, deployment.engineId)))
    throw new Fault("entity.not_found", { message: `there is no engine ${deployment.engineId}` });
  const at = new Date(deps.clock.nowMs());
  const replaced = await store.deleteReplaced(organisationId, deployment);
  const written = await store.upsertDeployments(organisationId, [deployment], at);
  if (replaced + written > 0) await deps.markSnapshotDirty(trx);
}
