import { expect, test } from "bun:test";
import { keyOf } from "../../test/fakes/gateway.ts";
import { asId } from "../kit/id.ts";
import type { SnapshotTenant } from "../snapshot/types.ts";
import { limitHeaders, monthOf, needsOf } from "./reserve.ts";
import type { Caller, Plan, Reading } from "./types.ts";

const NONE = { requestsPerMinute: null, tokensPerMinute: null, concurrentStreams: null };
const NOVEMBER = Date.UTC(2026, 10, 30, 23, 59, 59, 999);

function callerWith(key: object, project: object, spend: bigint | null = null): Caller {
  const tenant: SnapshotTenant = {
    firmId: asId("firm_a"),
    firmRef: 1,
    organisationId: asId("org_a"),
    organisationRef: 2,
    projectId: asId("proj_a"),
    projectRef: 3,
    projectName: "p",
    jurisdiction: "DE",
    home: { region: "local", lane: 0, cell: "local" },
    limits: { ...NONE, ...project },
    monthlySpendLimitPico: spend,
  };
  return { key: keyOf("live", 1, { limits: { ...NONE, ...key } }), tenant };
}

const plan: Plan = {
  model: {
    organisationId: asId("org_a"),
    name: "m",
    modelVersionRef: 1,
    version: "1",
    ownedBy: "x",
    createdAtMs: 0,
    contextTokens: 50,
    outputTokensMax: 10,
    deployments: [],
  },
  price: {
    id: asId("price_a"),
    ref: 1,
    organisationId: asId("org_a"),
    model: "m",
    effectiveFromMs: 0,
    source: "test",
    picoPerUnit: { input_tokens: 3n, output_tokens: 5n },
  },
  targets: [],
};
const reading: Reading = {
  bytes: new Uint8Array(80),
  model: "m",
  streamed: false,
  wantsUsage: false,
  outputCap: undefined,
  choices: 2,
  mediaParts: 0,
  bodyFor: () => new Uint8Array(),
};

test("no limits: no needs", () => {
  expect(needsOf(callerWith({}, {}), plan, reading, NOVEMBER)).toEqual([]);
});

test("each limit of key and project is needed by its own name, tokens and money at their ceiling", () => {
  const key = { requestsPerMinute: 9, tokensPerMinute: 800, concurrentStreams: 4 };
  const caller = callerWith(key, { tokensPerMinute: 700 }, 10_000n);
  const id = caller.key.id;
  // 50 tokens of context bound the 80 bytes; two choices of at most 10 tokens each.
  const expected = [
    { resource: `requests:key:${id}`, limit: 9n, amount: 1n },
    { resource: `streams:key:${id}`, limit: 4n, amount: 1n },
    { resource: `tokens:key:${id}`, limit: 800n, amount: 70n },
    { resource: "tokens:project:proj_a", limit: 700n, amount: 70n },
    { resource: "spend:project:proj_a:2026-11", limit: 10_000n, amount: 250n },
  ];
  for (const _ of [1, 2])
    expect<unknown>(needsOf(caller, plan, reading, NOVEMBER)).toEqual(expected);
});

test.each([
  ["no picture, context unknown: its bytes", null, 0, 80n],
  ["a picture, context unknown: 4,096 more", null, 1, 4_176n],
  ["a picture: the whole context, however short its address", 50_000, 1, 50_000n],
])("%s", (_, contextTokens, mediaParts, input) => {
  const caller = callerWith({ tokensPerMinute: 800 }, {});
  const needs = needsOf(
    caller,
    { ...plan, model: { ...plan.model, contextTokens } },
    { ...reading, mediaParts },
    NOVEMBER,
  );
  expect(needs[0]?.amount).toBe(input + 20n);
});

test("a new snapshot's limits count at once", () => {
  const before = callerWith({ requestsPerMinute: 9 }, {});
  const after = callerWith({ requestsPerMinute: 5 }, {});
  expect(needsOf(before, plan, reading, NOVEMBER)[0]?.limit).toBe(9n);
  expect(needsOf(after, plan, reading, NOVEMBER)[0]?.limit).toBe(5n);
});

test("months change at midnight UTC, whichever way the clock goes", () => {
  expect(monthOf(NOVEMBER)).toBe("2026-11");
  expect(monthOf(NOVEMBER + 1)).toBe("2026-12");
  expect(monthOf(NOVEMBER)).toBe("2026-11");
  expect(monthOf(Date.UTC(2027, 0, 1))).toBe("2027-01");
});

test("headers tell the tighter of two limits, and the limit itself where nothing was asked yet", () => {
  const limits = { requestsPerMinute: 9, tokensPerMinute: 800 };
  const caller = callerWith(limits, { requestsPerMinute: 20 });
  const needs = needsOf(caller, plan, reading, NOVEMBER);
  const left = new Map([
    [`requests:key:${caller.key.id}`, 6n],
    ["requests:project:proj_a", 2n],
  ]);
  const headers = limitHeaders({ remaining: (resource) => left.get(resource) }, needs);
  expect(headers).toEqual({
    "x-ratelimit-limit-requests": "20",
    "x-ratelimit-remaining-requests": "2",
    "x-ratelimit-limit-tokens": "800",
    "x-ratelimit-remaining-tokens": "800",
  });
});
