// The reader behind which a snapshot's form hides: maps today, a flat mapped file when keys pass 10^5.
// Invariant: built once per swap from decoded sections; nothing here mutates afterwards.

import type { PriceVersion } from "../billing/prices/types.ts";
import type { SnapshotData, SnapshotManifest, SnapshotModel, SnapshotReader } from "./types.ts";

function group<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const members = groups.get(keyOf(item));
    if (members) members.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}

/** The model's versions in order of date; the last one that began by `atMs` is in force. */
function inForce(
  versions: readonly PriceVersion[] | undefined,
  atMs: number,
): PriceVersion | undefined {
  let found: PriceVersion | undefined;
  for (const version of versions ?? []) {
    if (version.effectiveFromMs > atMs) break;
    found = version;
  }
  return found;
}

export function openReader(
  manifest: Pick<SnapshotManifest, "sequence" | "compiledAtMs" | "ageMaxMs">,
  data: SnapshotData,
): SnapshotReader {
  const keys = new Map(data.keys.map((key) => [key.id, key]));
  const tenants = new Map(data.tenants.map((tenant) => [tenant.projectId, tenant]));
  const engines = new Map(data.zones.map((engine) => [engine.id, engine]));
  const models = new Map<string, Map<string, SnapshotModel>>();
  for (const [organisationId, members] of group(data.models, (model) => model.organisationId)) {
    models.set(organisationId, new Map(members.map((model) => [model.name, model])));
  }
  const ordered = [...data.prices].sort(
    (left, right) => left.effectiveFromMs - right.effectiveFromMs,
  );
  const prices = new Map(
    [...group(ordered, (price) => price.organisationId)].map(([id, versions]) => [
      id,
      group(versions, (price) => price.model),
    ]),
  );
  return {
    sequence: manifest.sequence,
    compiledAtMs: manifest.compiledAtMs,
    ageMaxMs: manifest.ageMaxMs,
    keyById: (id) => keys.get(id),
    tenantOf: (projectId) => tenants.get(projectId),
    model: (organisationId, name) => models.get(organisationId)?.get(name),
    models: (organisationId) => models.get(organisationId)?.values() ?? [],
    engine: (id) => engines.get(id),
    engines: () => engines.values(),
    priceAt: (organisationId, model, atMs) => inForce(prices.get(organisationId)?.get(model), atMs),
  };
}
