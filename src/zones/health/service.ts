// Checking an engine: ask it with its own credential and remember what came of it.
// Invariant: the credential is opened in memory for the one question and is in nothing that is kept.

import type { Transaction } from "kysely";
import type { ChangeDeps } from "../../db/change.types.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Clock } from "../../kit/clock.ts";
import { refuse } from "../../kit/fault.ts";
import type { EngineId, OrganisationId } from "../../kit/id.ts";
import { openCredential } from "../topology/credential.rules.ts";
import { askEngine } from "./ask.ts";
import { openProbeStore } from "./store.ts";
import type { CheckedEngine, EngineAnswer, Probe } from "./types.ts";

export interface CheckDeps extends Pick<ChangeDeps, "inTransaction"> {
  readonly clock: Clock;
  /** deriveKey(master, 'credential') */
  readonly credentialKey: Uint8Array;
}

const DETAIL_MAX = 300;

async function ask(deps: CheckDeps, engine: CheckedEngine): Promise<EngineAnswer> {
  if (engine.credentialSealed === null)
    return askEngine(deps.clock, { ...engine, bearer: undefined });
  const bearer = openCredential(deps.credentialKey, engine.id, engine.credentialSealed);
  if (bearer !== undefined) return askEngine(deps.clock, { ...engine, bearer });
  const judged = refuse("upstream.credential", "the stored credential cannot be opened", {
    hint: "was the master key replaced? then add the upstream again",
  });
  return { judged, latencyMs: 0 };
}

export async function checkEngine(deps: CheckDeps, engine: CheckedEngine): Promise<EngineAnswer> {
  const answer = await ask(deps, engine);
  const { judged, latencyMs } = answer;
  const detail = (judged.ok ? judged.detail : judged.message).slice(0, DETAIL_MAX);
  const at = new Date(deps.clock.nowMs());
  const probe = { engineId: engine.id, ok: judged.ok, detail, latencyMs, at };
  await deps.inTransaction((trx) => openProbeStore(trx).upsert(engine.organisationId, probe));
  return answer;
}

/** For other rooms' views: the latest probe of each engine. */
export function selectProbes(
  trx: Transaction<DB>,
  organisationId: OrganisationId,
): Promise<ReadonlyMap<EngineId, Probe>> {
  return openProbeStore(trx).selectAll(organisationId);
}
