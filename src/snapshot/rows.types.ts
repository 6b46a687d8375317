// The rows that the compiler reads: joined by the read room `store.ts`, compiled by `compile.ts`.

import type { EngineId, ModelId, ModelVersionId, OrganisationId } from "../kit/id.ts";
import type { PriceVersion } from "../billing/prices/types.ts";
import type { SnapshotEngine, SnapshotKey, SnapshotTenant } from "./types.ts";

export interface VersionRow {
  readonly id: ModelVersionId;
  readonly modelId: ModelId;
  readonly organisationId: OrganisationId;
  readonly name: string;
  readonly ownedBy: string;
  readonly modelVersionRef: number;
  readonly version: string;
  readonly contextTokens: number | null;
  readonly outputTokensMax: number | null;
  readonly createdAtMs: number;
  readonly modelCreatedAtMs: number;
}

export interface DeploymentRow {
  readonly engineId: EngineId;
  readonly modelVersionId: ModelVersionId;
  readonly upstreamModel: string;
}

export interface SnapshotRows {
  readonly tenants: readonly SnapshotTenant[];
  readonly keys: readonly SnapshotKey[];
  readonly versions: readonly VersionRow[];
  readonly engines: readonly (SnapshotEngine & { readonly enabled: boolean })[];
  readonly deployments: readonly DeploymentRow[];
  readonly prices: readonly PriceVersion[];
}
