// GET /v1/models: what this caller's organisation can really call: deployed and priced. Pure over the snapshot.

import { refuse, type Refusal } from "../kit/fault.ts";
import type { SnapshotModel, SnapshotReader, SnapshotTenant } from "../snapshot/types.ts";

interface ListedModel {
  readonly id: string;
  readonly object: "model";
  readonly created: number;
  readonly owned_by: string;
}

const toListed = (model: SnapshotModel): ListedModel => ({
  id: model.name,
  object: "model",
  created: Math.floor(model.createdAtMs / 1000),
  owned_by: model.ownedBy,
});

/** `name` undefined: the list. */
export function listModels(
  snapshot: SnapshotReader,
  tenant: SnapshotTenant,
  nowMs: number,
  name: string | undefined,
): { readonly ok: true; readonly body: unknown } | Refusal {
  const { organisationId } = tenant;
  const callable = (model: SnapshotModel) =>
    model.deployments.length > 0 &&
    snapshot.priceAt(organisationId, model.name, nowMs) !== undefined;
  if (name === undefined) {
    const data = [...snapshot.models(organisationId)].filter(callable).map(toListed);
    return { ok: true, body: { object: "list", data } };
  }
  const model = snapshot.model(organisationId, name);
  if (model === undefined || !callable(model)) {
    return refuse(
      "model.unknown",
      `The model \`${name}\` does not exist or you do not have access to it.`,
      { field: "model" },
    );
  }
  return { ok: true, body: toListed(model) };
}
