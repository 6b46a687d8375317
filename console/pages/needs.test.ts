import { expect, test } from "bun:test";
import type { Engine, Key, Model, Project } from "../api.types.ts";
import { needsOf } from "./needs.rules.ts";

const NOW_MS = Date.parse("2026-11-24T12:00:00Z");
const engine = (name: string, more: Partial<Engine>): Engine => ({
  id: name,
  name,
  kind: "openai",
  baseUrl: "",
  enabled: true,
  models: [],
  state: "up",
  probe: null,
  ...more,
});
const zone = (...engines: Engine[]) => ({
  id: "z",
  name: "fra-1",
  region: "",
  jurisdiction: "DE",
  pools: [{ id: "p", name: "default", accelerator: "h100", engines }],
});
const limits = { requestsPerMinute: null, tokensPerMinute: null, concurrentStreams: null };
const project = (name: string, monthlySpendLimit: string | null): Project => ({
  id: name,
  name,
  limits,
  monthlySpendLimit,
  createdAt: "",
});
const sums = {
  requests: 1,
  failures: 0,
  inputTokens: 1,
  cachedInputTokens: 0,
  outputTokens: 1,
};
const usage = (spent: Readonly<Record<string, string>>) => ({
  rows: Object.entries(spent).map(([name, amount]) => ({
    group: name,
    label: name,
    ...sums,
    amount,
  })),
  total: { ...sums, amount: "0" },
});
const model = (name: string, priced: boolean): Model => ({
  id: name,
  name,
  ownedBy: "",
  version: "1",
  contextTokens: null,
  engines: [],
  priced,
});
const key = (name: string, expiresAt: string | null, revokedAt: string | null = null): Key => ({
  id: name,
  name,
  kind: "live",
  role: null,
  projectId: "p",
  limits,
  createdAt: "",
  expiresAt,
  revokedAt,
});
const texts = (facts: Parameters<typeof needsOf>[0]) =>
  needsOf(facts, NOW_MS).map(({ tone, text }) => `${tone}: ${text}`);

test("nothing read, nothing wrong: nothing needed", () => {
  expect(needsOf({}, NOW_MS)).toEqual([]);
  expect(
    texts({
      zones: [zone(engine("a", {}), engine("off", { enabled: false, state: "down" }))],
      models: [model("m", true)],
      projects: [project("free", null), project("half", "1")],
      usage: usage({ free: "100", half: "0.79" }),
      keys: [key("forever", null), key("gone", "2026-11-01T00:00:00Z")],
    }),
  ).toEqual([]);
});

test("an engine that is down comes before what can wait", () => {
  const down = engine("vllm-b", {
    state: "down",
    probe: { at: "", latencyMs: 0, detail: "connection refused" },
  });
  expect(texts({ zones: [zone(engine("a", {}), down)], models: [model("m", false)] })).toEqual([
    "bad: vllm-b in fra-1 is down: connection refused",
    "warn: m has no price, so calls are refused",
  ]);
});

test("budgets: a warning from four fifths, worse when it is used up", () => {
  expect(
    texts({
      projects: [project("a", "10"), project("b", "10"), project("unread", "10")],
      usage: usage({ a: "8", b: "10.01" }),
    }),
  ).toEqual([
    "bad: b has spent 100.1% of its $10.00 this month",
    "warn: a has spent 80.0% of its $10.00 this month",
  ]);
});

test("a key that ends within a week, unless it is revoked; several models without a price are one line", () => {
  expect(
    texts({
      keys: [key("soon", "2026-11-30T00:00:00Z"), key("out", "2026-11-30T00:00:00Z", "2026-11-01")],
      models: [model("x", false), model("y", false), model("z", false)],
    }),
  ).toEqual([
    "warn: 3 models have no price, so calls are refused: x, y, …",
    "warn: Key soon ends within a week",
  ]);
});
