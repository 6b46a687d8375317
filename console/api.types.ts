// The answers of control's API that the console reads. Money is a decimal string of dollars, times are ISO 8601.
// Invariant: amounts are never numbers here; they are added and rounded only as pico-units (see format.ts).

export interface Page<T> {
  readonly items: readonly T[];
  readonly next: string | null;
}

export interface Principal {
  readonly organisationId: string;
  readonly projectId: string;
  readonly keyId: string;
  readonly role: string;
  readonly permissions: readonly string[];
}

export interface Session {
  readonly csrf: string;
  readonly principal: Principal;
}

export interface Limits {
  readonly requestsPerMinute: number | null;
  readonly tokensPerMinute: number | null;
  readonly concurrentStreams: number | null;
}

export type KeyKind = "live" | "test" | "admin" | "play";

export interface Key {
  readonly id: string;
  readonly name: string;
  readonly kind: KeyKind;
  readonly role: string | null;
  readonly projectId: string;
  readonly limits: Limits;
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
}

export interface KeyCreate {
  readonly name: string;
  readonly kind: KeyKind;
  readonly role?: string;
  readonly projectId?: string;
  readonly limits?: Limits;
  readonly expiresAt?: string;
}

export interface Project {
  readonly id: string;
  readonly name: string;
  readonly limits: Limits;
  readonly monthlySpendLimit: string | null;
  readonly createdAt: string;
}

export type EngineState = "up" | "down" | "unknown";

export interface Probe {
  readonly at: string;
  readonly latencyMs: number;
  readonly detail: string;
}

export interface Upstream {
  readonly id: string;
  readonly name: string;
  readonly kind: "embedded" | "openai";
  readonly baseUrl: string;
  readonly zone: string;
  readonly enabled: boolean;
  readonly hasCredential: boolean;
  /** Public model names. */
  readonly models: readonly string[];
  readonly state: EngineState;
  readonly probe: Probe | null;
}

export interface UpstreamCreate {
  readonly name: string;
  readonly baseUrl: string;
  readonly apiKey?: string;
  readonly models?: Readonly<Record<string, string>>;
  readonly zone?: string;
  readonly allowPrivateAddress?: boolean;
}

export interface UpstreamTest {
  readonly ok: boolean;
  readonly latencyMs: number;
  readonly detail: string;
  readonly models: readonly string[];
}

export interface Engine {
  readonly id: string;
  readonly name: string;
  readonly kind: "embedded" | "openai";
  readonly baseUrl: string;
  readonly enabled: boolean;
  readonly models: readonly string[];
  readonly state: EngineState;
  readonly probe: Probe | null;
}

export interface Zone {
  readonly id: string;
  readonly name: string;
  readonly region: string;
  readonly jurisdiction: string;
  readonly pools: readonly {
    readonly id: string;
    readonly name: string;
    readonly accelerator: string;
    readonly engines: readonly Engine[];
  }[];
}

export interface Model {
  readonly id: string;
  readonly name: string;
  readonly ownedBy: string;
  readonly version: string;
  readonly contextTokens: number | null;
  readonly engines: readonly string[];
  readonly priced: boolean;
}

export interface Pull {
  readonly name: string;
  readonly state: "queued" | "running" | "done" | "failed";
  readonly doneBytes: number;
  readonly totalBytes: number | null;
  readonly detail: string;
}

export interface Price {
  readonly id: string;
  readonly model: string;
  readonly effectiveFrom: string;
  readonly source: string;
  /** Meter → dollars per million units. */
  readonly perMillion: Readonly<Record<string, string>>;
}

export interface PriceCreate {
  readonly model: string;
  readonly effectiveFrom: string;
  readonly perMillion: Readonly<Record<string, string>>;
  readonly source?: string;
}

export interface OverviewMinute {
  readonly minute: string;
  readonly requests: number;
  readonly failures: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly amount: string;
  readonly firstByteP50Ms: number | null;
  readonly firstByteP95Ms: number | null;
}

export interface Overview {
  readonly asOf: string;
  readonly series: readonly OverviewMinute[];
  readonly totals: {
    readonly requests: number;
    readonly failures: number;
    readonly inputTokens: number;
    readonly outputTokens: number;
    readonly amount: string;
  };
  readonly firstByteP50Ms: number | null;
  readonly firstByteP95Ms: number | null;
}

export const USAGE_GROUPS = ["model", "project", "key", "engine", "day"] as const;
export type UsageGroup = (typeof USAGE_GROUPS)[number];

export interface UsageRow {
  readonly group: string;
  readonly label: string;
  readonly requests: number;
  readonly failures: number;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  readonly amount: string;
}

export interface Usage {
  readonly rows: readonly UsageRow[];
  readonly total: Omit<UsageRow, "group" | "label">;
}

export interface RequestRow {
  readonly requestId: string;
  readonly at: string;
  readonly status: string;
  readonly httpStatus: number;
  readonly endpoint: string;
  readonly model: string;
  readonly version: string;
  readonly zone: string;
  readonly engine: string;
  readonly attempt: number;
  readonly attemptKind: string;
  readonly keyId: string;
  readonly keyName: string;
  readonly project: string;
  readonly streamed: boolean;
  readonly firstByteMs: number | null;
  readonly durationMs: number;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly amount: string;
  readonly priceVersionId: string | null;
}

export interface AttemptDetail extends RequestRow {
  readonly upstreamRequestId: string;
  readonly quantities: readonly {
    readonly meter: string;
    readonly amount: number;
    readonly source: "reported" | "counted" | "estimated";
  }[];
  /** Exactly how the amount came about. */
  readonly priceLines: readonly {
    readonly meter: string;
    readonly quantity: number;
    readonly perMillion: string;
    readonly amount: string;
  }[];
  readonly posting: {
    readonly gateway: string;
    readonly lane: number;
    readonly sequence: number;
    readonly index: number;
    readonly segmentDigest: string;
  };
}

export interface RequestDetail {
  readonly requestId: string;
  readonly attempts: readonly AttemptDetail[];
}

export type ChecklistId = "signed-in" | "first-call" | "upstream-added" | "key-made";

export interface Checklist {
  readonly items: readonly {
    readonly id: ChecklistId;
    readonly done: boolean;
    readonly at: string | null;
  }[];
  readonly apiBaseUrl: string;
}

export interface SystemInfo {
  readonly version: string;
  readonly startedAt: string;
  readonly apiBaseUrl: string;
  readonly exposure: { readonly kind: string; readonly host: string; readonly detail: string };
  readonly migrations: { readonly applied: readonly string[]; readonly pending: readonly string[] };
  readonly snapshot: { readonly sequence: number; readonly compiledAt: string } | null;
  readonly gateways: readonly {
    readonly id: string;
    readonly epoch: number;
    readonly cell: string;
    readonly address: string;
    readonly productVersion: string;
    readonly openedAt: string;
    readonly seenAt: string;
    readonly state: "up" | "late" | "gone";
  }[];
}

export interface AuditEntry {
  readonly index: number;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
}
