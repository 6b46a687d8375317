// The public names of what control's API takes and answers, with examples: the types of the SDK are called so.
// Invariant: a name is part of the API; renaming one breaks programs that were written against the SDK.

import { AuditList } from "../audit/log/types.ts";
import {
  PriceFile,
  PriceImported,
  PriceInput,
  PriceList,
  PriceView,
} from "../billing/prices/types.ts";
import type { NamedShapes } from "../http/openapi.ts";
import {
  KeyCreated,
  KeyInput,
  KeyLimits,
  KeyList,
  KeyView,
  SessionInput,
  SessionView,
} from "../identity/keys/types.ts";
import { ProjectChange, ProjectInput, ProjectList, ProjectView } from "../identity/orgs/types.ts";
import { PullInput, PullList, PullView } from "../models/artifacts/types.ts";
import { ModelList, ModelView } from "../models/registry/types.ts";
import { PlaygroundRequest } from "../system/playground/types.ts";
import {
  AttemptDetail,
  Overview,
  RequestDetail,
  RequestPage,
  RequestRow,
  Usage,
} from "../system/reports/types.ts";
import { Checklist, SystemInfo } from "../system/status/types.ts";
import { ProbeView } from "../zones/health/types.ts";
import {
  EngineView,
  UpstreamChange,
  UpstreamInput,
  UpstreamList,
  UpstreamTest,
  UpstreamView,
  ZoneList,
  ZoneView,
} from "../zones/topology/types.ts";

export const TAGS: Readonly<Record<string, string>> = {
  audit: "Who changed what, in a log that cannot be rewritten unseen",
  keys: "What callers and admins present",
  models: "The public names that callers send",
  playground: "Trying a model from the console",
  prices: "Effective-dated prices per million units; never changed, only followed by later ones",
  projects: "Where keys belong, with limits and a monthly spend limit",
  reports: "What was used, what it cost, and each request behind the sums",
  sessions: "Signing in with a browser",
  system: "This installation: version, gateways, first steps",
  upstreams: "The addresses that answer: our own engine, and any OpenAI-compatible API",
  zones: "Where upstreams stand",
};

const price = {
  model: "llama-3.1-8b",
  effectiveFrom: "2027-01-01T00:00:00Z",
  perMillion: { input_tokens: "0.20", output_tokens: "0.60" },
  source: "our own cost model",
};

export const BODIES: NamedShapes = {
  KeyInput: {
    shape: KeyInput,
    example: { name: "backend", kind: "live", limits: { requestsPerMinute: 600 } },
  },
  KeyLimits: { shape: KeyLimits },
  PlaygroundRequest: {
    shape: PlaygroundRequest,
    example: { model: "intertie-tiny", messages: [{ role: "user", content: "Tell me a story." }] },
  },
  PriceFile: {
    shape: PriceFile,
    example: { format: 1, asOf: "2026-11-01", currency: "USD", prices: [price] },
  },
  PriceInput: { shape: PriceInput, example: price },
  ProjectChange: { shape: ProjectChange, example: { monthlySpendLimit: "250" } },
  ProjectInput: {
    shape: ProjectInput,
    example: { name: "support", limits: { concurrentStreams: 64 }, monthlySpendLimit: "99.50" },
  },
  PullInput: { shape: PullInput, example: { name: "smollm2-135m" } },
  SessionInput: { shape: SessionInput, example: { key: "it_admin_…" } },
  UpstreamChange: { shape: UpstreamChange, example: { enabled: false } },
  UpstreamInput: {
    shape: UpstreamInput,
    example: { name: "openai", baseUrl: "https://api.openai.com/v1", apiKey: "sk-secret" },
  },
};

export const ANSWERS: NamedShapes = {
  AttemptDetail: { shape: AttemptDetail },
  AuditList: { shape: AuditList },
  Checklist: { shape: Checklist },
  Engine: { shape: EngineView },
  Key: { shape: KeyView },
  KeyCreated: { shape: KeyCreated },
  KeyLimits: { shape: KeyLimits },
  KeyList: { shape: KeyList },
  Model: { shape: ModelView },
  ModelList: { shape: ModelList },
  Overview: { shape: Overview },
  Price: { shape: PriceView },
  PriceImported: { shape: PriceImported },
  PriceList: { shape: PriceList },
  Probe: { shape: ProbeView },
  Project: { shape: ProjectView },
  ProjectList: { shape: ProjectList },
  Pull: { shape: PullView },
  PullList: { shape: PullList },
  RequestDetail: { shape: RequestDetail },
  RequestPage: { shape: RequestPage },
  RequestRow: { shape: RequestRow },
  Session: { shape: SessionView },
  SystemInfo: { shape: SystemInfo },
  Upstream: { shape: UpstreamView },
  UpstreamList: { shape: UpstreamList },
  UpstreamTest: { shape: UpstreamTest },
  Usage: { shape: Usage },
  Zone: { shape: ZoneView },
  ZoneList: { shape: ZoneList },
};
