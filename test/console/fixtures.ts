// A made-up installation for the console's own tests: three zones, five engines, a month of traffic with a busy last hour.
// Invariant: totals are sums of the very rows shown, as in the real ledger, and every run makes the same.

import type * as Api from "../../console/api.types.ts";
import { seededDice, type Dice } from "../../src/kit/clock.ts";
import { formatDecimal } from "../../src/kit/money.ts";

const MINUTE_MS = 60_000;
const id = (prefix: string, number: number) => `${prefix}_01kb2${String(number).padStart(21, "0")}`;
const iso = (ms: number) => new Date(ms).toISOString();

const noLimits: Api.Limits = {
  requestsPerMinute: null,
  tokensPerMinute: null,
  concurrentStreams: null,
};

export const projects: Api.Project[] = [
  {
    id: id("proj", 1),
    name: "default",
    limits: noLimits,
    monthlySpendLimit: null,
    createdAt: "2026-10-02T08:00:00.000Z",
  },
  {
    id: id("proj", 2),
    name: "support-assistant",
    limits: { requestsPerMinute: 1_200, tokensPerMinute: 400_000, concurrentStreams: 64 },
    monthlySpendLimit: "6",
    createdAt: "2026-10-02T08:00:00.000Z",
  },
];

const key = (
  number: number,
  name: string,
  kind: Api.KeyKind,
  more: Partial<Api.Key> = {},
): Api.Key => ({
  id: id("key", number),
  name,
  kind,
  role: kind === "admin" ? "owner" : null,
  projectId: id("proj", 1),
  limits: noLimits,
  createdAt: "2026-10-02T08:00:00.000Z",
  expiresAt: null,
  revokedAt: null,
  ...more,
});

export const keys: Api.Key[] = [
  key(1, "first", "live"),
  key(2, "checkout-service", "live", {
    limits: { requestsPerMinute: 600, tokensPerMinute: 120_000, concurrentStreams: null },
  }),
  key(3, "support-assistant", "live", {
    projectId: id("proj", 2),
    expiresAt: "2027-03-01T00:00:00.000Z",
  }),
  key(4, "nightly-evals", "test", {
    projectId: id("proj", 2),
    revokedAt: "2026-11-20T16:20:00.000Z",
  }),
  key(5, "admin", "admin"),
];

interface Place {
  readonly name: string;
  readonly zone: string;
  readonly models: readonly string[];
  readonly state: Api.EngineState;
  readonly kind?: "embedded";
  readonly baseUrl: string;
  readonly detail?: string;
  readonly enabled?: false;
}
const places: readonly Place[] = [
  {
    name: "embedded",
    zone: "local",
    kind: "embedded",
    models: ["tiny-llama"],
    state: "up",
    baseUrl: "http://127.0.0.1:4120/v1",
  },
  {
    name: "vllm-a",
    zone: "fra-1",
    models: ["llama-3.1-8b"],
    state: "up",
    baseUrl: "http://10.20.0.11:8000/v1",
  },
  {
    name: "vllm-b",
    zone: "fra-1",
    models: ["llama-3.1-8b"],
    state: "down",
    baseUrl: "http://10.20.0.12:8000/v1",
    detail: "connection refused",
  },
  {
    name: "openai",
    zone: "external",
    models: ["gpt-5-mini", "gpt-5", "text-embedding-3-small"],
    state: "up",
    baseUrl: "https://api.openai.com/v1",
  },
  {
    name: "ollama-desk",
    zone: "external",
    models: ["qwen3-4b"],
    state: "unknown",
    baseUrl: "http://192.168.1.20:11434/v1",
    enabled: false,
  },
];

export interface World {
  readonly nowMs: number;
  readonly requests: Api.RequestRow[];
  readonly upstreams: Api.Upstream[];
  readonly zones: Api.Zone[];
  readonly models: Api.Model[];
  readonly prices: Api.Price[];
  readonly keys: Api.Key[];
  readonly projects: Api.Project[];
}

const RATES: Readonly<Record<string, readonly [input: bigint, output: bigint]>> = {
  "tiny-llama": [10_000n, 40_000n],
  "llama-3.1-8b": [60_000n, 90_000n],
  "gpt-5-mini": [250_000n, 2_000_000n],
  "gpt-5": [1_250_000n, 10_000_000n],
};
export const rateOf = (model: string) => RATES[model] ?? [0n, 0n];

export function makeWorld(nowMs: number): World {
  const probe = (place: Place): Api.Probe => ({
    at: iso(nowMs - 2_000),
    latencyMs: place.state === "up" ? 7 + place.name.length : 0,
    detail: place.detail ?? "answered",
  });
  const engine = (place: Place, index: number): Api.Engine => ({
    id: id("engine", index + 1),
    name: place.name,
    kind: place.kind ?? "openai",
    baseUrl: place.baseUrl,
    enabled: place.enabled ?? true,
    models: place.models,
    state: place.state,
    probe: place.state === "unknown" ? null : probe(place),
  });
  const engines = places.map((place, index) => ({ ...engine(place, index), zone: place.zone }));
  const zone = (
    number: number,
    name: string,
    region: string,
    jurisdiction: string,
    accelerator: string,
  ): Api.Zone => ({
    id: id("zone", number),
    name,
    region,
    jurisdiction,
    pools: [
      {
        id: id("pool", number),
        name: "default",
        accelerator,
        engines: engines.filter((candidate) => candidate.zone === name),
      },
    ],
  });
  return {
    nowMs,
    requests: makeRequests(nowMs),
    keys: structuredClone(keys),
    projects: structuredClone(projects),
    upstreams: engines.map((one) => ({ ...one, hasCredential: one.kind === "openai" })),
    zones: [
      zone(1, "local", "this machine", "ZZ", "cpu"),
      zone(2, "fra-1", "Frankfurt", "DE", "h100"),
      zone(3, "external", "other firms", "ZZ", "api"),
    ],
    models: [...new Set(places.flatMap((place) => place.models))].map((name, index) => ({
      id: id("model", index + 1),
      name,
      ownedBy: name.startsWith("gpt") ? "openai" : "house",
      version: "1",
      contextTokens: name === "tiny-llama" ? 512 : 128_000,
      engines: places.filter((place) => place.models.includes(name)).map((place) => place.name),
      priced: name in RATES,
    })),
    prices: makePrices(nowMs),
  };
}

function makePrices(nowMs: number): Api.Price[] {
  const price = (
    number: number,
    model: string,
    from: string,
    input: string,
    output: string,
    source: string,
  ): Api.Price => ({
    id: id("price", number),
    model,
    effectiveFrom: from,
    source,
    perMillion: { input_tokens: input, output_tokens: output },
  });
  return [
    price(1, "tiny-llama", "2026-10-02T00:00:00.000Z", "0.01", "0.04", "own engine"),
    price(2, "llama-3.1-8b", "2026-10-02T00:00:00.000Z", "0.06", "0.09", "own cost model"),
    price(3, "gpt-5-mini", "2026-08-01T00:00:00.000Z", "0.30", "2.20", "price page of 2026-08-01"),
    {
      ...price(
        4,
        "gpt-5-mini",
        "2026-11-01T00:00:00.000Z",
        "0.25",
        "2.00",
        "price page of 2026-11-01",
      ),
      perMillion: { input_tokens: "0.25", cached_input_tokens: "0.025", output_tokens: "2.00" },
    },
    price(6, "gpt-5", "2026-08-01T00:00:00.000Z", "1.25", "10.00", "price page of 2026-11-01"),
    price(5, "gpt-5-mini", iso(nowMs + 20 * 86_400_000), "0.20", "1.60", "announced"),
  ];
}

const DAY_MS = 86_400_000;
const WEEKEND = [0, 6];

/** 420 requests in the last hour and a month of days before it, newest first; a few failures on `vllm-b`. */
function makeRequests(nowMs: number): Api.RequestRow[] {
  const dice = seededDice(7);
  const lastHour = Array.from({ length: 420 }, (_, index) => {
    const inBurst = index % 5 === 0;
    const ageMinutes = inBurst ? 14 + 9 * dice.next() : 59 * dice.next();
    return makeRequest(dice, index, nowMs - ageMinutes * MINUTE_MS);
  });
  const before = Array.from({ length: 29 }, (_, daysAgo) => {
    const dayEndMs = nowMs - daysAgo * DAY_MS - 2 * 60 * MINUTE_MS;
    const isWeekend = WEEKEND.includes(new Date(dayEndMs).getUTCDay());
    const calls = Math.round((isWeekend ? 90 : 330) * (0.8 + dice.next() * 0.5) - 4 * daysAgo);
    return Array.from({ length: Math.max(8, calls) }, (_, index) =>
      makeRequest(
        dice,
        1_000 * (daysAgo + 1) + index,
        dayEndMs - dice.next() * 10 * 60 * MINUTE_MS,
      ),
    );
  });
  return [...lastHour, ...before.flat()].sort((a, b) => b.at.localeCompare(a.at));
}

const PRICE_IDS: Readonly<Record<string, number>> = {
  "tiny-llama": 1,
  "llama-3.1-8b": 2,
  "gpt-5-mini": 4,
  "gpt-5": 6,
};

function makeRequest(dice: Dice, index: number, atMs: number): Api.RequestRow {
  const between = (low: number, high: number) => Math.floor(low + dice.next() * (high - low));
  const place =
    places[dice.next() < 0.45 ? 1 : dice.next() < 0.6 ? 3 : dice.next() < 0.8 ? 0 : 2] ?? places[0];
  const model =
    place?.name === "openai" && dice.next() < 0.3 ? "gpt-5" : (place?.models[0] ?? "tiny-llama");
  const failed = place?.state === "down" || dice.next() < 0.01;
  const [inputTokens, outputTokens] = [between(40, 6_400), failed ? 0 : between(20, 1_400)];
  const [input, output] = rateOf(model);
  const amount = failed ? 0n : BigInt(inputTokens) * input + BigInt(outputTokens) * output;
  const owner = keys[index % 3] ?? keys[0];
  const failure = index % 5 === 0 ? "cut" : "refused_upstream";
  const slow = dice.next() < 0.1 ? between(100, 400) : 0;
  return {
    requestId: id("req", index + 1),
    at: iso(atMs),
    status: failed ? failure : index % 60 === 7 ? "caller_left" : "ok",
    httpStatus: failed ? 502 : 200,
    endpoint: "chat",
    model,
    version: "1",
    zone: place?.zone ?? "local",
    engine: place?.name ?? "embedded",
    attempt: 1,
    attemptKind: "first",
    keyId: owner?.id ?? "",
    keyName: owner?.name ?? "",
    project: projects.find((project) => project.id === owner?.projectId)?.name ?? "",
    streamed: index % 3 !== 0,
    firstByteMs: failed ? null : between(18, 60) + (place?.zone === "external" ? 180 : 0) + slow,
    durationMs: between(180, 4_200),
    inputTokens,
    cachedInputTokens: 0,
    outputTokens,
    reasoningTokens: 0,
    amount: formatDecimal(amount),
    priceVersionId: failed ? null : id("price", PRICE_IDS[model] ?? 1),
  };
}
