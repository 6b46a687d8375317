import { expect, test } from "bun:test";
import { asId } from "../kit/id.ts";
import { compile } from "./compile.ts";
import type { SnapshotRows } from "./rows.types.ts";

const organisationId = asId<"org">("org_1");
const version = (id: string, createdAtMs: number) => ({
  id: asId<"version">(id),
  modelId: asId<"model">("model_1"),
  organisationId,
  name: "tiny",
  ownedBy: "intertie",
  modelVersionRef: createdAtMs,
  version: id,
  contextTokens: null,
  outputTokensMax: null,
  createdAtMs,
  modelCreatedAtMs: 1,
});
const engine = (id: string, enabled: boolean) => ({
  id: asId<"engine">(id),
  ref: 1,
  name: id,
  kind: "openai" as const,
  baseUrl: "http://127.0.0.1:1/v1",
  credentialSealed: null,
  allowPrivateAddress: true,
  enabled,
  zoneId: asId<"zone">("zone_1"),
  zoneRef: 1,
  zoneName: "local",
  zoneJurisdiction: "ZZ",
});
const deployment = (engineId: string, versionId: string) => ({
  engineId: asId<"engine">(engineId),
  modelVersionId: asId<"version">(versionId),
  upstreamModel: "tiny",
});
const rows = (more: Partial<SnapshotRows>): SnapshotRows => ({
  tenants: [],
  keys: [],
  versions: [],
  engines: [],
  deployments: [],
  prices: [],
  ...more,
});

test("the newest deployed version answers", () => {
  const data = compile(
    rows({
      versions: [version("v3", 3), version("v1", 1), version("v2", 2)],
      engines: [engine("e1", true)],
      deployments: [deployment("e1", "v1"), deployment("e1", "v2")],
    }),
  );
  expect(data.models.map((model) => [model.version, model.deployments.length])).toEqual([
    ["v2", 1],
  ]);
  expect(data.models[0]?.createdAtMs).toBe(1);
});

test("a disabled engine serves nothing, its model stays visible without deployments", () => {
  const data = compile(
    rows({
      versions: [version("v1", 1)],
      engines: [engine("e1", false)],
      deployments: [deployment("e1", "v1")],
    }),
  );
  expect(data.models[0]?.deployments).toEqual([]);
  expect(data.zones).toEqual([]);
});

test("compiling empty rows gives an empty snapshot", () => {
  expect(compile(rows({}))).toEqual({ tenants: [], keys: [], models: [], zones: [], prices: [] });
});
