import { expect, test } from "bun:test";
import { asId } from "../../kit/id.ts";
import { chooseVersion, planVersion } from "./rules.ts";
import type { ModelVersion, VersionWish } from "./types.ts";

const UNKNOWN = { contextTokens: null, outputTokensMax: null, artifactDigest: null, licence: "" };
const version = (name: string, facts: Partial<ModelVersion> = {}): ModelVersion => ({
  id: asId(`version_${name}`),
  modelId: asId("model_1"),
  version: name,
  ...UNKNOWN,
  ...facts,
});
const wish = (version: string | null, facts: Partial<VersionWish> = {}): VersionWish => ({
  name: "llama",
  ownedBy: "meta",
  version,
  ...UNKNOWN,
  ...facts,
});

test("a named version is that one or a new one; an unnamed one is the newest, or the first", () => {
  const existing = [version("a"), version("b")];
  expect(planVersion(existing, wish("a"))).toMatchObject({
    change: "none",
    found: { version: "a" },
  });
  expect(planVersion(existing, wish("c"))).toMatchObject({ change: "add", version: "c" });
  expect(planVersion(existing, wish(null))).toMatchObject({ found: { version: "b" } });
  expect(planVersion([], wish(null))).toMatchObject({ change: "add", version: "1" });
});

test("what was unknown is learnt, what is known stays", () => {
  const existing = [version("a", { contextTokens: 512 })];
  const more = wish("a", { contextTokens: 1024, outputTokensMax: 64, licence: "MIT" });
  expect(planVersion(existing, more)).toMatchObject({
    change: "learn",
    found: { contextTokens: 512, outputTokensMax: 64, licence: "MIT" },
  });
  expect(planVersion(existing, wish("a", { contextTokens: 1024 }))).toMatchObject({
    change: "none",
  });
});

test("another artifact is another version", () => {
  const existing = [version("a", { artifactDigest: "aa" })];
  expect(planVersion(existing, wish("a", { artifactDigest: "bb" }))).toMatchObject({
    ok: false,
    code: "change.conflict",
    field: "version",
  });
  expect(planVersion(existing, wish("a", { artifactDigest: "aa" }))).toMatchObject({ ok: true });
});

test("the newest version that is served answers, else the newest", () => {
  const served = (names: readonly string[]) => (name: string) => names.includes(name);
  expect(chooseVersion(["a", "b", "c"], served(["a", "b"]))).toBe("b");
  expect(chooseVersion(["a", "b", "c"], served([]))).toBe("c");
  expect(chooseVersion<string>([], served([]))).toBeUndefined();
});
