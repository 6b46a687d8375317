// Snapshot: what a gateway knows, compiled by control, signed, numbered in Postgres, swapped whole.
// Invariants: the hot path reads it only through SnapshotReader; it holds no usable secret (HMACs and ciphertexts only);
// a gateway never takes a lower sequence than the one it has.

import type { KeyKind, KeyLimits } from "../identity/keys/types.ts";
import type { EngineId, FirmId, KeyId, OrganisationId, ProjectId, ZoneId } from "../kit/id.ts";
import type { EngineKind } from "../zones/topology/types.ts";
import type { PriceVersion } from "../billing/prices/types.ts";

export const SNAPSHOT_FORMAT = 1;
export const SECTION_NAMES = ["tenants", "keys", "models", "zones", "prices"] as const;
export type SectionName = (typeof SECTION_NAMES)[number];

/** Signed with Ed25519 by control over the canonical JSON of everything but `signature`. */
export interface SnapshotManifest {
  readonly format: typeof SNAPSHOT_FORMAT;
  readonly sequence: number;
  readonly compiledAtMs: number;
  /** How old a snapshot may grow before a gateway stops serving from it. */
  readonly ageMaxMs: number;
  /** SHA-256 of each section's bytes, hexadecimal. */
  readonly sections: Readonly<Record<SectionName, string>>;
  readonly signature: string;
}

export interface SnapshotTenant {
  readonly firmId: FirmId;
  readonly firmRef: number;
  readonly organisationId: OrganisationId;
  readonly organisationRef: number;
  readonly projectId: ProjectId;
  readonly projectRef: number;
  readonly projectName: string;
  /** ISO 3166-1 alpha-2 of the organisation; 'ZZ' when unknown. */
  readonly jurisdiction: string;
  readonly home: TenantHome;
  /** The project's own limits, over all its keys. */
  readonly limits: KeyLimits;
  /** Strict, per calendar month in UTC; null: none. */
  readonly monthlySpendLimitPico: bigint | null;
}

/** Where a tenant's budgets and ledger live; data on the tenant, never inside an id. */
export interface TenantHome {
  readonly region: string;
  readonly lane: number;
  readonly cell: string;
}

export interface SnapshotKey {
  readonly id: KeyId;
  readonly ref: number;
  readonly projectId: ProjectId;
  readonly kind: KeyKind;
  /** HMAC-SHA-256(key-hmac, token), hexadecimal. */
  readonly hmac: string;
  readonly limits: KeyLimits;
  readonly expiresAtMs: number | null;
  readonly revoked: boolean;
}

export interface SnapshotEngine {
  readonly id: EngineId;
  readonly ref: number;
  readonly name: string;
  readonly kind: EngineKind;
  readonly baseUrl: string;
  /** Base64 of the sealed credential (AAD = engine id); null: none. */
  readonly credentialSealed: string | null;
  readonly allowPrivateAddress: boolean;
  readonly zoneId: ZoneId;
  readonly zoneRef: number;
  readonly zoneName: string;
  readonly zoneJurisdiction: string;
}

/** One place where a model version can be had. */
export interface SnapshotDeployment {
  readonly engineId: EngineId;
  /** What to call the model there. */
  readonly upstreamModel: string;
}

export interface SnapshotModel {
  /** Models, prices and engines belong to an organisation; another's are as good as absent. */
  readonly organisationId: OrganisationId;
  /** Public name, as callers send it. */
  readonly name: string;
  readonly modelVersionRef: number;
  readonly version: string;
  readonly ownedBy: string;
  readonly createdAtMs: number;
  /** Null: unknown; then reservation uses the caller's own cap or `outputTokensDefault`. */
  readonly contextTokens: number | null;
  readonly outputTokensMax: number | null;
  readonly deployments: readonly SnapshotDeployment[];
}

/** What `compile(rows)` produces and the sections encode. */
export interface SnapshotData {
  readonly tenants: readonly SnapshotTenant[];
  readonly keys: readonly SnapshotKey[];
  readonly models: readonly SnapshotModel[];
  readonly zones: readonly SnapshotEngine[];
  /** All versions that may still be in force, any model. */
  readonly prices: readonly PriceVersion[];
}

/** The hot path's only door to the snapshot: functions, never an object tree. */
export interface SnapshotReader {
  readonly sequence: number;
  readonly compiledAtMs: number;
  readonly ageMaxMs: number;
  keyById(id: KeyId): SnapshotKey | undefined;
  tenantOf(projectId: ProjectId): SnapshotTenant | undefined;
  model(organisationId: OrganisationId, name: string): SnapshotModel | undefined;
  models(organisationId: OrganisationId): Iterable<SnapshotModel>;
  engine(id: EngineId): SnapshotEngine | undefined;
  engines(): Iterable<SnapshotEngine>;
  /** The version in force at that instant, or undefined when the model is unpriced then. */
  priceAt(organisationId: OrganisationId, model: string, atMs: number): PriceVersion | undefined;
}
