import { afterAll, beforeEach, expect, test } from "bun:test";
import { openTopologyStage, SECRET } from "../../../test/fakes/topology.ts";
import { FRESH_MS } from "../health/rules.ts";
import { ensureEmbedded } from "./embedded.service.ts";
import type { UpstreamList, UpstreamTest, UpstreamView, ZoneList } from "./types.ts";

const stage = await openTopologyStage();
const { ask, add, world, storedOf, lastAudit, acme, clock, deps, routes, seen, urlOf } = stage;
afterAll(stage.close);
beforeEach(() => void seen.splice(0));

test("200: the list holds an organisation's own upstreams, in the order they were added", async () => {
  const one = await add("good", { models: { a: "a" } });
  const two = await add("good", { models: { b: "b" } });
  const { status, body } = await ask<UpstreamList>("GET", "/upstreams");
  expect(status).toBe(200);
  expect(body.items.slice(-2).map((item) => item.id)).toEqual([one.id, two.id]);
  const theirs = await ask<UpstreamList>("GET", "/upstreams", undefined, "rival owner");
  expect(theirs.text).not.toContain(one.id);
});

test("200: switched off and on; asking for what is already so changes nothing", async () => {
  const { id } = await add("good", { models: { a: "a" } });
  const before = await world();
  const off = await ask<UpstreamView>("PATCH", `/upstreams/${id}`, { enabled: false });
  expect([off.status, off.body.enabled, off.body.models]).toEqual([200, false, ["a"]]);
  expect((await lastAudit()).details).toMatchObject({ enabled: false });
  const after = await world();
  expect(after.changed).toBeGreaterThan(before.changed);
  expect((await ask("PATCH", `/upstreams/${id}`, { enabled: false })).status).toBe(200);
  expect(await world()).toEqual(after);
});

test("400: a change that says nothing or too much", async () => {
  const { id } = await add("good", { models: { a: "a" } });
  for (const body of [{}, { enabled: "no" }, { enabled: true, baseUrl: "https://8.8.8.8" }])
    expect((await ask("PATCH", `/upstreams/${id}`, body)).status).toBe(400);
});

test("204: removed: no deployment, no credential, its models stay, and it is not there a second time", async () => {
  const { id } = await add("good", { apiKey: SECRET, models: { orphan: "a" } });
  const before = await world();
  const { status, text } = await ask("DELETE", `/upstreams/${id}`);
  expect([status, text]).toEqual([204, ""]);
  const after = await world();
  expect(after).toMatchObject({ models: before.models, deployments: before.deployments - 1 });
  expect(after.changed).toBeGreaterThan(before.changed);
  const stored = await storedOf(id);
  expect([stored.removed_at, stored.credential_sealed]).toEqual([new Date(clock.nowMs()), null]);
  expect((await lastAudit()).action).toBe("upstream.remove");
  expect((await ask("DELETE", `/upstreams/${id}`)).status).toBe(404);
  expect((await ask<UpstreamList>("GET", "/upstreams")).text).not.toContain(id);
});

test("404: an upstream of another organisation is not found, not forbidden", async () => {
  const { id } = await add("good", { models: { a: "a" } });
  const before = await world();
  const rivals = (method: string, path: string, body?: unknown) =>
    ask(method, `/upstreams/${id}${path}`, body, "rival owner");
  const answers = [
    await rivals("PATCH", "", { enabled: false }),
    await rivals("DELETE", ""),
    await rivals("POST", "/test"),
  ];
  for (const { status, body } of answers)
    expect([status, body.error.code]).toEqual([404, "entity.not_found"]);
  expect(seen).toEqual([]);
  expect(await world()).toEqual(before);
});

test("409: the embedded engine cannot be removed, but can be switched off", async () => {
  const id = await deps.inTransaction((trx) =>
    ensureEmbedded(deps, trx, acme.organisationId, {
      name: "embedded",
      baseUrl: urlOf("good"),
      bearer: SECRET,
    }),
  );
  const { status, body } = await ask("DELETE", `/upstreams/${id}`);
  expect([status, body.error.code]).toEqual([409, "upstream.embedded"]);
  const off = await ask<UpstreamView>("PATCH", `/upstreams/${id}`, { enabled: false });
  expect(off.body).toMatchObject({ kind: "embedded", zone: "local", enabled: false });
});

test("200: a test asks with the stored credential, costs one GET, and is remembered as the latest probe", async () => {
  const { id } = await add("good", { apiKey: SECRET });
  seen.splice(0);
  const { status, body } = await ask<UpstreamTest>("POST", `/upstreams/${id}/test`);
  expect(status).toBe(200);
  expect(body).toEqual({
    ok: true,
    latencyMs: body.latencyMs,
    detail: "answers, 3 models",
    models: ["llama", "qwen", "llama"],
  });
  expect(seen).toEqual(["GET /good/v1/models"]);
  const find = async () =>
    (await ask<UpstreamList>("GET", "/upstreams")).body.items.find((item) => item.id === id);
  expect(await find()).toMatchObject({
    state: "up",
    probe: { at: new Date(clock.nowMs()).toISOString(), detail: "answers, 3 models" },
  });
  clock.advance(FRESH_MS + 1);
  expect(await find()).toMatchObject({ state: "unknown" });
});

test("200: a test that fails says so in words, and the upstream is down", async () => {
  const { id } = await add("good", { apiKey: "revoked-since", models: { a: "a" } });
  const { status, body, text } = await ask<UpstreamTest>("POST", `/upstreams/${id}/test`);
  expect([status, body.ok, body.detail]).toEqual([200, false, "the credential is refused"]);
  expect(text).not.toContain(SECRET);
  const { items } = (await ask<UpstreamList>("GET", "/upstreams")).body;
  expect(items.find((item) => item.id === id)).toMatchObject({ state: "down" });
});

test("200: zones hold pools, pools hold engines; of one organisation", async () => {
  const { id } = await add("good", { models: { a: "a" }, zone: "zone-of-one" });
  const { status, body } = await ask<ZoneList>("GET", "/zones");
  expect(status).toBe(200);
  expect(body.items.find((zone) => zone.name === "zone-of-one")).toMatchObject({
    region: "zone-of-one",
    jurisdiction: "ZZ",
    pools: [
      {
        name: "api",
        accelerator: "api",
        engines: [{ id, models: ["a"], state: "unknown", probe: null }],
      },
    ],
  });
  const theirs = await ask<ZoneList>("GET", "/zones", undefined, "rival owner");
  expect(theirs.text).not.toContain("zone-of-one");
});

test("401 without a key and 403 with a role that may not, on every route", async () => {
  const before = await world();
  for (const route of routes) {
    const path = route.path.replace("/api/v1", "").replace(":id", "engine_1");
    const body = route.method === "GET" ? undefined : {};
    expect((await ask(route.method, path, body, "")).status).toBe(401);
    expect((await ask(route.method, path, body, "acme finance")).body.error.code).toBe(
      "permission.denied",
    );
    const auditor = await ask(route.method, path, body, "acme auditor");
    expect(auditor.status).toBe(route.method === "GET" ? 200 : 403);
  }
  expect(await world()).toEqual(before);
});
