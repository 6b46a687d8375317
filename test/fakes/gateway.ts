// A gateway for tests: the real walk and server over literal snapshot, journal and leases, on a free loopback port.
// Invariant: what the journal was given is kept in order, so a test can say what would have been billed.

import type { PriceVersion } from "../../src/billing/prices/types.ts";
import type { Fact, JournalRecord } from "../../src/billing/metering/types.ts";
import type { LeaseHolder } from "../../src/gateway/leases/types.ts";
import { openGateway, type GatewayServer } from "../../src/gateway/server.ts";
import { DEFAULT_LIMITS, type GatewayDeps, type GatewayLimits } from "../../src/gateway/types.ts";
import { openEgress } from "../../src/gateway/upstreams/egress.ts";
import { openUpstreamClient } from "../../src/gateway/upstreams/openai/client.ts";
import { makeToken } from "../../src/identity/keys/rules.ts";
import type { KeyKind } from "../../src/identity/keys/types.ts";
import { systemClock, systemDice } from "../../src/kit/clock.ts";
import { asId, encodeId } from "../../src/kit/id.ts";
import { silentLog } from "../../src/kit/log.ts";
import { openMetrics } from "../../src/kit/metrics.ts";
import { openHmac } from "../../src/kit/secret.ts";
import { openReader } from "../../src/snapshot/read.ts";
import type {
  SnapshotDeployment,
  SnapshotEngine,
  SnapshotKey,
  SnapshotModel,
  SnapshotTenant,
} from "../../src/snapshot/types.ts";
import { openLoadLedger } from "../../src/zones/routing/load.state.ts";

const NO_LIMITS = { requestsPerMinute: null, tokensPerMinute: null, concurrentStreams: null };
const organisationId = asId<"org">("org_a");
const projectId = asId<"proj">("proj_a");
const SECRET = "a test's own key";

export const tokenHmac = openHmac(new TextEncoder().encode(SECRET));

export const tokenOf = (kind: KeyKind, number = 1) =>
  makeToken(
    kind,
    asId<"key">(`key_${encodeId(new Uint8Array(16).fill(number))}`),
    new Uint8Array(32).fill(number),
  );

export function keyOf(
  kind: KeyKind = "live",
  number = 1,
  more: Partial<SnapshotKey> = {},
): SnapshotKey {
  return {
    id: asId(`key_${encodeId(new Uint8Array(16).fill(number))}`),
    ref: 10 + number,
    projectId,
    kind,
    hmac: tokenHmac(tokenOf(kind, number)),
    limits: NO_LIMITS,
    expiresAtMs: null,
    revoked: false,
    ...more,
  };
}

const tenant: SnapshotTenant = {
  firmId: asId("firm_a"),
  firmRef: 1,
  organisationId,
  organisationRef: 2,
  projectId,
  projectRef: 3,
  projectName: "default",
  jurisdiction: "DE",
  home: { region: "local", lane: 0, cell: "local" },
  limits: NO_LIMITS,
  monthlySpendLimitPico: null,
};

const engineAt = (baseUrl: string, index: number): SnapshotEngine => ({
  id: asId(`engine_${index}`),
  ref: 20 + index,
  name: `engine-${index}`,
  kind: "openai",
  baseUrl,
  credentialSealed: "sealed",
  allowPrivateAddress: true,
  zoneId: asId("zone_a"),
  zoneRef: 5,
  zoneName: "zone-a",
  zoneJurisdiction: "FR",
});

const model = (
  name: string,
  deployments: readonly SnapshotDeployment[],
  more: Partial<SnapshotModel> = {},
): SnapshotModel => ({
  organisationId,
  name,
  modelVersionRef: 6,
  version: "1",
  ownedBy: "someone",
  createdAtMs: 1_764_000_000_000,
  contextTokens: null,
  outputTokensMax: null,
  deployments,
  ...more,
});

const PICO_PER_UNIT = { input_tokens: 1_000_000n, output_tokens: 2_000_000n };

const priceOf = (name: string, picoPerUnit: PriceVersion["picoPerUnit"]): PriceVersion => ({
  id: asId("price_a"),
  ref: 7,
  organisationId,
  model: name,
  effectiveFromMs: 0,
  source: "test",
  picoPerUnit,
});

/** Grants all, remembers what was settled. */
export function openFakeLeases(): LeaseHolder & { readonly settled: [string, bigint][] } {
  const settled: [string, bigint][] = [];
  return {
    settled,
    reserve: () => true,
    settle: (need, used) => void settled.push([need.resource, used]),
    remaining: () => 7n,
  };
}

export interface TestGateway {
  readonly url: string;
  readonly records: JournalRecord[];
  /** Settled facts, in order. */
  readonly facts: () => Fact[];
  readonly leases: ReturnType<typeof openFakeLeases>;
  readonly load: ReturnType<typeof openLoadLedger>;
  readonly server: GatewayServer;
  /** Chat with the model `small` as the key of kind live. */
  readonly chat: (more?: object, init?: RequestInit) => Promise<Response>;
  readonly post: (
    path: string,
    body: RequestInit["body"],
    headers?: Record<string, string>,
  ) => Promise<Response>;
  close(): Promise<void>;
}

export interface TestOptions {
  readonly limits?: Partial<GatewayLimits>;
  readonly keys?: readonly SnapshotKey[];
  readonly tenant?: Partial<SnapshotTenant>;
  readonly model?: Partial<SnapshotModel>;
  /** What every priced model costs. */
  readonly picoPerUnit?: PriceVersion["picoPerUnit"];
  readonly headTimeoutMs?: number;
  readonly deps?: Partial<GatewayDeps>;
  readonly unready?: () => readonly string[];
  /** More models, called the same upstream. */
  readonly models?: readonly string[];
  readonly tls?: { readonly cert: string; readonly key: string };
}

function readerOf(upstreams: readonly string[], options: TestOptions) {
  const zones = upstreams.map(engineAt);
  const deployed = (upstreamModel: string) =>
    zones.map((engine) => ({ engineId: engine.id, upstreamModel }));
  const more = options.models ?? [];
  const versions = [
    model("small", deployed("real-name"), options.model),
    model("unpriced", deployed("real-name")),
    model("nowhere", []),
    ...more.map((name) => model(name, deployed(name))),
  ];
  return openReader(
    { sequence: 9, compiledAtMs: Date.now(), ageMaxMs: 60_000 },
    {
      tenants: [{ ...tenant, ...options.tenant }],
      keys: options.keys ?? [keyOf(), keyOf("admin", 2)],
      models: versions,
      zones,
      prices: ["small", "nowhere", ...more].map((name) =>
        priceOf(name, options.picoPerUnit ?? PICO_PER_UNIT),
      ),
    },
  );
}

/** `upstreams`: base URLs, tried in this order while none has failed. */
export function openTestGateway(
  upstreams: readonly string[],
  options: TestOptions = {},
): TestGateway {
  const reader = readerOf(upstreams, options);
  const records: JournalRecord[] = [];
  const leases = openFakeLeases();
  const load = openLoadLedger("local");
  // Rising rolls keep engines that are equally loaded in their order.
  let roll = 0;
  const deps: GatewayDeps = {
    snapshot: () => reader,
    tokenHmac,
    journal: {
      append: async (record) => void records.push(record),
      appendLazy: (record) => void records.push(record),
      healthy: true,
    },
    leases,
    load,
    upstream: openUpstreamClient({
      egress: openEgress(systemClock.monotonicMs),
      unseal: () => "upstream-secret",
      headTimeoutMs: options.headTimeoutMs ?? 5_000,
    }),
    clock: systemClock,
    dice: { ...systemDice, next: () => (roll += 1e-9) },
    log: silentLog,
    observe: { attempt: () => {}, ended: () => {} },
    ...options.deps,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
  };
  const server = openGateway(deps, {
    host: "127.0.0.1",
    port: 0,
    metrics: openMetrics(),
    unready: options.unready ?? (() => []),
    mayReadMetrics: () => true,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
  });
  const post: TestGateway["post"] = (path, body, headers = {}) =>
    fetch(`${server.url}${path}`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${tokenOf("live")}`,
        ...headers,
      },
      body: body ?? null,
    });
  return {
    url: server.url,
    records,
    facts: () => records.flatMap((record) => (record.type === "settle" ? [record.fact] : [])),
    leases,
    load,
    server,
    post,
    chat: (more = {}, init = {}) =>
      fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          authorization: `Bearer ${tokenOf("live")}`,
        },
        body: JSON.stringify({
          model: "small",
          messages: [{ role: "user", content: "Say something" }],
          ...more,
        }),
        ...init,
      }),
    close: () => server.drain(0),
  };
}

/** Polls until it holds; fails after the bound. */
export async function until(holds: () => boolean, withinMs = 3_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error("it did not come true in time");
    await Bun.sleep(2);
  }
}
