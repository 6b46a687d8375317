import { afterAll, beforeEach, expect, test } from "bun:test";
import { openTopologyStage, SECRET } from "../../../test/fakes/topology.ts";
import { asId } from "../../kit/id.ts";
import { openCredential } from "./credential.rules.ts";
import type { UpstreamView } from "./types.ts";

const stage = await openTopologyStage();
const { ask, add, wish, world, storedOf, lastAudit, deployedAt, acme, seen, urlOf, goneUrl } =
  stage;
const { credentialKey } = stage.deps;
afterAll(stage.close);
beforeEach(() => void seen.splice(0));

const refusedAdd = async (body: Record<string, unknown>) => {
  const { status, body: wrong } = await ask("POST", "/upstreams", body);
  return `${status} ${wrong.error.code} ${wrong.error.field ?? "-"}`;
};

test("201: without models the upstream is asked; zone, pool, names, deployments, audit row and snapshot mark come together", async () => {
  const before = await world();
  const { status, body, text } = await ask<UpstreamView>(
    "POST",
    "/upstreams",
    wish("good", {
      name: "vllm",
      apiKey: ` ${SECRET}\n`,
      zone: "fra-1",
      baseUrl: `${urlOf("good")}/`,
    }),
  );
  expect(status).toBe(201);
  expect(body).toEqual({
    id: body.id,
    name: "vllm",
    kind: "openai",
    baseUrl: urlOf("good"),
    zone: "fra-1",
    enabled: true,
    hasCredential: true,
    models: ["llama", "qwen"],
    state: "unknown",
    probe: null,
  });
  expect(await deployedAt(body.id)).toMatchObject([
    {
      name: "llama",
      upstream_model: "llama",
      version: "1",
      context_tokens: 8192,
      owned_by: "meta",
    },
    { name: "qwen", upstream_model: "qwen", version: "1", context_tokens: null, owned_by: "vllm" },
  ]);
  const after = await world();
  expect(after.zones).toBe(before.zones + 1);
  expect(after.changed).toBeGreaterThan(before.changed);
  const entry = await lastAudit();
  expect(entry).toMatchObject({ actor: acme.keyId, action: "upstream.create", subject: body.id });
  expect(entry.details).toMatchObject({ name: "vllm", hasCredential: true, models: 2 });
  expect(`${text}${JSON.stringify(entry)}`).not.toContain(SECRET);
});

test("201: the credential lies sealed, bound to its engine", async () => {
  const one = await storedOf((await add("good", { apiKey: SECRET })).id);
  const sealed = one.credential_sealed ?? new Uint8Array();
  expect(Buffer.from(sealed).includes(SECRET)).toBe(false);
  expect(openCredential(credentialKey, asId(one.id), sealed)).toBe(SECRET);
  expect(openCredential(credentialKey, asId("engine_other"), sealed)).toBeUndefined();
});

test("201: typed models are taken at their word, so an upstream that is off can be added", async () => {
  const { id, models, hasCredential } = await add("good", {
    baseUrl: goneUrl,
    models: { "my-llama": "meta/Llama-3.3" },
  });
  expect({ models, hasCredential }).toEqual({ models: ["my-llama"], hasCredential: false });
  expect(await deployedAt(id)).toMatchObject([
    { name: "my-llama", upstream_model: "meta/Llama-3.3" },
  ]);
  expect(seen).toEqual([]);
});

test("201: a name that another engine serves is shared, version and all", async () => {
  const first = await add("bare");
  const second = await add("good", { apiKey: SECRET, models: { together: "theirs" } });
  const versions = [...(await deployedAt(first.id)), ...(await deployedAt(second.id))];
  expect(versions).toHaveLength(2);
  expect(new Set(versions.map((row) => row.model_version_id)).size).toBe(1);
});

test("201: two at once into a new zone make one zone and one pool", async () => {
  const before = await world();
  const both = await Promise.all([
    add("good", { models: { a: "a" }, zone: "brand-new" }),
    add("good", { models: { a: "a" }, zone: "brand-new" }),
  ]);
  expect(both.map((each) => each.zone)).toEqual(["brand-new", "brand-new"]);
  expect((await world()).zones).toBe(before.zones + 1);
});

test("400: what is wrong is named by its field, and nothing is asked or written", async () => {
  const before = await world();
  const good = { name: "x", baseUrl: "https://8.8.8.8/v1", models: { a: "a" } };
  const wrong: readonly [string, Record<string, unknown>][] = [
    ["name", { name: "Not A Name" }],
    ["baseUrl", { baseUrl: "ftp://example.com" }],
    ["baseUrl", { baseUrl: "example.com" }],
    ["baseUrl", { baseUrl: "https://me:secret@8.8.8.8/v1" }],
    ["baseUrl", { baseUrl: "https://8.8.8.8/v1?key=1" }],
    ["baseUrl", { baseUrl: "https://8.8.8.8/v1/chat/completions" }],
    ["apiKey", { apiKey: "two words" }],
    ["apiKey", { apiKey: "a\r\nhost: b" }],
    ["zone", { zone: "" }],
    ["models.a", { models: { a: "" } }],
    ["models", { models: Object.fromEntries(Array.from({ length: 1001 }, (_, at) => [at, "a"])) }],
    ["extra", { extra: 1 }],
  ];
  for (const [field, change] of wrong)
    expect(await refusedAdd({ ...good, ...change })).toBe(`400 request.invalid ${field}`);
  expect(seen).toEqual([]);
  expect(await world()).toEqual(before);
});

test("400: a private address without leave, a public one without https, and metadata in any case", async () => {
  const refusal = "400 upstream.forbidden_address baseUrl";
  expect(await refusedAdd(wish("good", { allowPrivateAddress: false }))).toBe(refusal);
  expect(await refusedAdd(wish("good", { baseUrl: "http://8.8.8.8/v1" }))).toBe(refusal);
  expect(await refusedAdd(wish("good", { baseUrl: "http://169.254.169.254/v1" }))).toBe(refusal);
  expect(seen).toEqual([]);
});

test("409: a name in use; free again once its holder is removed", async () => {
  const body = wish("good", { models: { a: "a" } });
  const { body: first } = await ask<UpstreamView>("POST", "/upstreams", body);
  expect(await refusedAdd(body)).toBe("409 entity.exists name");
  expect((await ask("POST", "/upstreams", body, "rival owner")).status).toBe(201);
  await ask("DELETE", `/upstreams/${first.id}`);
  expect((await ask("POST", "/upstreams", body)).status).toBe(201);
});

test("502: models that cannot be discovered are a clear refusal that leaves nothing behind", async () => {
  const before = await world();
  const key = { apiKey: SECRET };
  expect(await refusedAdd(wish("good", { apiKey: "wrong" }))).toBe("502 upstream.credential -");
  expect(await refusedAdd(wish("page", key))).toBe("502 upstream.invalid -");
  expect(await refusedAdd(wish("listless", key))).toBe("502 upstream.invalid models");
  expect(await refusedAdd(wish("none", key))).toBe("502 upstream.invalid models");
  expect(await refusedAdd(wish("many", key))).toBe("502 upstream.invalid models");
  expect(await refusedAdd(wish("odd", key))).toBe("502 upstream.invalid models");
  expect(await refusedAdd(wish("broken", key))).toBe("502 upstream.refused -");
  expect(await refusedAdd(wish("huge", key))).toBe("502 upstream.too_large -");
  expect(await refusedAdd(wish("x", { baseUrl: goneUrl }))).toBe("502 upstream.unreachable -");
  expect(await world()).toEqual(before);
});

test("502: an upstream's words about the key are not repeated", async () => {
  const { text, body } = await ask("POST", "/upstreams", wish("good", { apiKey: "sk-other" }));
  expect(body.error.hint).toContain("name the models");
  expect(text).not.toContain("sk-");
});

test("504: an upstream that does not answer in time", async () => {
  expect(await refusedAdd(wish("stuck"))).toBe("504 upstream.timeout -");
});
