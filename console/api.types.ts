// The console's words for the SDK's types, which control's own routes give. Money is a decimal string of dollars, times are ISO 8601.
// Invariant: nothing is declared here a second time; amounts are never numbers (see format.ts).

import type * as Sdk from "../sdk/client.gen.ts";

export type {
  AttemptDetail,
  Checklist,
  Engine,
  Key,
  Model,
  Overview,
  Price,
  Probe,
  Project,
  ProjectChange,
  Pull,
  RequestDetail,
  RequestRow,
  Session,
  SystemInfo,
  Upstream,
  UpstreamTest,
  Usage,
  Zone,
} from "../sdk/client.gen.ts";

export type Limits = Sdk.KeyLimits;
export type KeyKind = Sdk.Key["kind"];
export type KeyCreate = Sdk.KeyInput;
export type ProjectCreate = Sdk.ProjectInput;
export type UpstreamCreate = Sdk.UpstreamInput;
export type PriceCreate = Sdk.PriceInput;
export type EngineState = Sdk.Engine["state"];
export type OverviewMinute = Sdk.Overview["series"][number];
export type UsageRow = Sdk.Usage["rows"][number];
export type ChecklistId = Sdk.Checklist["items"][number]["id"];
export type AuditEntry = Sdk.AuditList["items"][number];
export type UsageGroup = NonNullable<Sdk.GetUsageQuery["groupBy"]>;

/** What the requests page can be narrowed to; `failures` is every one of ours or an upstream's. */
export const REQUEST_STATUSES = [
  "ok",
  "failures",
  "refused_upstream",
  "failed",
  "cut",
  "caller_left",
  "interrupted",
] as const satisfies readonly NonNullable<Sdk.ListRequestsQuery["status"]>[];
export type RequestStatus = (typeof REQUEST_STATUSES)[number];

/** A list as control answers it. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export const USAGE_GROUPS = [
  "model",
  "project",
  "key",
  "engine",
  "day",
] as const satisfies readonly UsageGroup[];
