// compile(rows): what the database holds → what gateways need. Pure and total.
// Invariants: inherited settings are resolved here, never per request; no usable secret passes (HMACs and ciphertexts only);
// a model without an enabled engine stays visible with no deployments, so that callers get "no deployment", not "unknown".

import type { SnapshotRows } from "./rows.types.ts";
import type { SnapshotData, SnapshotDeployment, SnapshotModel } from "./types.ts";

function deploymentsByVersion(rows: SnapshotRows): ReadonlyMap<string, SnapshotDeployment[]> {
  const usable = new Set<string>(
    rows.engines.filter((engine) => engine.enabled).map((engine) => engine.id),
  );
  const found = new Map<string, SnapshotDeployment[]>();
  for (const row of rows.deployments) {
    if (!usable.has(row.engineId)) continue;
    const list = found.get(row.modelVersionId) ?? [];
    list.push({ engineId: row.engineId, upstreamModel: row.upstreamModel });
    found.set(row.modelVersionId, list);
  }
  return found;
}

/** Of a model's versions the newest that is deployed answers; if none is, the newest. */
function toModels(rows: SnapshotRows): SnapshotModel[] {
  const deployments = deploymentsByVersion(rows);
  const chosen = new Map<string, SnapshotModel>();
  const oldestFirst = [...rows.versions].sort(
    (left, right) => left.createdAtMs - right.createdAtMs,
  );
  for (const { id, modelId, modelCreatedAtMs, ...version } of oldestFirst) {
    const places = deployments.get(id) ?? [];
    const known = chosen.get(modelId);
    if (known && known.deployments.length > 0 && places.length === 0) continue;
    chosen.set(modelId, { ...version, createdAtMs: modelCreatedAtMs, deployments: places });
  }
  return [...chosen.values()];
}

export function compile(rows: SnapshotRows): SnapshotData {
  return {
    tenants: rows.tenants,
    keys: rows.keys,
    models: toModels(rows),
    zones: rows.engines
      .filter((engine) => engine.enabled)
      .map(({ enabled: _, ...engine }) => engine),
    prices: rows.prices,
  };
}
