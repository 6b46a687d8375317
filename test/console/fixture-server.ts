// Control's API as the console knows it, over the made-up installation: for the console's own tests and for working on it.
//   bun test/console/fixture-server.ts [PORT]
// Invariant: it answers from one World in memory, so that a change made in a test is seen by the next read.

import type * as Api from "../../console/api.types.ts";
import { openConsoleHandler } from "../../console/serve.ts";
import {
  auditOf,
  checklistOf,
  detailOf,
  matching,
  overviewOf,
  systemOf,
  usageOf,
} from "./fixture-answers.ts";
import { makeWorld, type World } from "./fixtures.ts";

const ADMIN_KEY = "it_admin_fixture";
export const ONE_TIME_LINK = "once";
const PERMISSIONS = ["keys", "projects", "upstreams", "models", "prices"].flatMap((name) => [
  `${name}.read`,
  `${name}.write`,
]);
const session: Api.Session = {
  csrf: "fixture-csrf",
  principal: {
    organisationId: "org_1",
    projectId: "proj_1",
    keyId: "key_1",
    role: "owner",
    permissions: [
      ...PERMISSIONS,
      "usage.read",
      "requests.read",
      "zones.read",
      "audit.read",
      "system.read",
      "playground.use",
    ],
  },
};

export interface Fixture {
  readonly url: string;
  readonly world: World;
  readonly adminKey: string;
  /** Chats say half of what they have to say until the returned function is called. */
  holdChats(): () => void;
  stop(): Promise<void>;
}

type Handler = (request: Request, params: readonly string[], query: URLSearchParams) => unknown;

export async function startFixture(
  options: { empty?: boolean; port?: number } = {},
): Promise<Fixture> {
  const files = await openConsoleHandler();
  const full = makeWorld(Date.now());
  const world: World = options.empty
    ? {
        ...full,
        requests: [],
        keys: [],
        projects: [],
        upstreams: [],
        zones: [],
        models: [],
        prices: [],
      }
    : full;
  let chatsMayEnd = Promise.resolve();
  const routes = routesOf(world, options.empty ?? false, () => chatsMayEnd);
  const server = Bun.serve({
    port: options.port ?? 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const url = new URL(request.url);
      if (url.pathname.startsWith("/api/v1/")) return answer(routes, request, url);
      return (await files(request)) ?? refuse(404, "route.not_found", `nothing at ${url.pathname}`);
    },
  });
  return {
    url: server.url.origin,
    world,
    adminKey: ADMIN_KEY,
    holdChats: () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      chatsMayEnd = promise;
      return resolve;
    },
    stop: () => server.stop(true),
  };
}

const refuse = (status: number, code: string, message: string, more: object = {}) =>
  Response.json({ error: { code, message, requestId: "req_fixture", ...more } }, { status });

async function answer(
  routes: readonly (readonly [RegExp, Handler])[],
  request: Request,
  url: URL,
): Promise<Response> {
  const path = `${request.method} ${url.pathname.slice("/api/v1".length)}`;
  const isPublic = path === "POST /sessions";
  if (!isPublic && !request.headers.get("cookie")?.includes("intertie_session=fixture"))
    return refuse(401, "session.missing", "sign in first");
  if (
    !isPublic &&
    request.method !== "GET" &&
    request.headers.get("x-intertie-csrf") !== session.csrf
  )
    return refuse(403, "session.csrf", "the request does not come from the console");
  for (const [pattern, handler] of routes) {
    const match = pattern.exec(path);
    if (!match) continue;
    const result = await handler(request, match.slice(1).map(decodeURIComponent), url.searchParams);
    if (result instanceof Response) return result;
    return result === undefined ? new Response(null, { status: 204 }) : Response.json(result);
  }
  return refuse(404, "route.not_found", `no route ${path}`);
}

const page = <T>(items: readonly T[]): Api.Page<T> => ({ items, next: null });

function routesOf(
  world: World,
  empty: boolean,
  chatRest: () => Promise<void>,
): readonly (readonly [RegExp, Handler])[] {
  return [
    [/^POST \/sessions$/, signIn],
    [/^GET \/session$/, () => session],
    [
      /^DELETE \/session$/,
      () =>
        new Response(null, {
          status: 204,
          headers: { "set-cookie": "intertie_session=; Path=/; Max-Age=0" },
        }),
    ],
    [
      /^GET \/overview$/,
      (_request, _params, query) => overviewOf(world, Number(query.get("minutes"))),
    ],
    [/^GET \/usage$/, (_request, _params, query) => usageOf(world, query)],
    [
      /^GET \/requests$/,
      (_request, _params, query) => page(matching(world, query).slice(0, 1_000)),
    ],
    [
      /^GET \/requests\/([^/]+)$/,
      (_request, [id = ""]) =>
        detailOf(world, id) ?? refuse(404, "entity.not_found", `there is no request ${id}`),
    ],
    [/^GET \/keys$/, () => page(world.keys)],
    [/^POST \/keys$/, (request) => createKey(world, request)],
    [
      /^DELETE \/keys\/([^/]+)$/,
      (_request, [id]) => amend(world.keys, id, { revokedAt: new Date().toISOString() }),
    ],
    [/^GET \/projects$/, () => page(world.projects)],
    [
      /^PATCH \/projects\/([^/]+)$/,
      async (request, [id]) => amend(world.projects, id, await request.json()),
    ],
    [/^GET \/upstreams$/, () => page(world.upstreams)],
    [/^POST \/upstreams$/, (request) => addUpstream(world, request)],
    [
      /^PATCH \/upstreams\/([^/]+)$/,
      async (request, [id]) => amend(world.upstreams, id, await request.json()),
    ],
    [
      /^POST \/upstreams\/([^/]+)\/test$/,
      () => ({ ok: true, latencyMs: 12, detail: "answered", models: ["tiny-llama"] }),
    ],
    [
      /^DELETE \/upstreams\/([^/]+)$/,
      (_request, [id]) =>
        void world.upstreams.splice(
          world.upstreams.findIndex((one) => one.id === id),
          1,
        ),
    ],
    [/^GET \/zones$/, () => page(world.zones)],
    [/^GET \/models$/, () => page(world.models)],
    [/^GET \/models\/pulls$/, () => page([])],
    [/^GET \/prices$/, () => page(world.prices)],
    [/^POST \/prices\/import$/, () => ({ added: 3, unchanged: 2 })],
    [/^GET \/checklist$/, () => checklistOf(empty)],
    [/^GET \/system$/, () => systemOf(world)],
    [/^GET \/audit$/, () => page(auditOf(world))],
    [/^POST \/playground\/chat$/, (request) => chat(world, request, chatRest())],
  ];
}

async function signIn(request: Request): Promise<Response> {
  const body: { key?: string; link?: string } = JSON.parse(await request.text());
  if (body.link !== undefined && body.link !== ONE_TIME_LINK)
    return refuse(410, "link.used", "this link has been used");
  if (body.link === undefined && body.key !== ADMIN_KEY)
    return refuse(401, "key.unknown", "no such key", {
      field: "key",
      hint: "intertie keys create --kind admin makes one",
    });
  return Response.json(session, {
    headers: { "set-cookie": "intertie_session=fixture; HttpOnly; SameSite=Strict; Path=/" },
  });
}

function amend<T extends { readonly id: string }>(
  list: T[],
  id: string | undefined,
  change: object,
): T | Response | undefined {
  const index = list.findIndex((one) => one.id === id);
  const found = list[index];
  if (!found) return refuse(404, "entity.not_found", `there is no ${id ?? ""}`);
  list[index] = { ...found, ...change };
  return list[index];
}

async function createKey(world: World, request: Request): Promise<Response> {
  const body: Api.KeyCreate = JSON.parse(await request.text());
  if (world.keys.some((one) => one.name === body.name))
    return refuse(409, "entity.exists", "there is a key of this name", { field: "name" });
  const key: Api.Key = {
    id: `key_new${world.keys.length}`,
    name: body.name,
    kind: body.kind,
    role: body.role ?? null,
    projectId: body.projectId ?? "",
    limits: {
      requestsPerMinute: body.limits?.requestsPerMinute ?? null,
      tokensPerMinute: body.limits?.tokensPerMinute ?? null,
      concurrentStreams: body.limits?.concurrentStreams ?? null,
    },
    createdAt: new Date().toISOString(),
    expiresAt: body.expiresAt ?? null,
    revokedAt: null,
  };
  world.keys.unshift(key);
  return Response.json(
    { key, token: `it_live_${"0123456789abcdefghjkmnpqrs"}_${"t".repeat(52)}abcdefg` },
    { status: 201 },
  );
}

async function addUpstream(world: World, request: Request): Promise<Response> {
  const body: Api.UpstreamCreate = JSON.parse(await request.text());
  if (body.baseUrl.startsWith("http://10.") && !body.allowPrivateAddress)
    return refuse(400, "upstream.forbidden_address", "this is a private address", {
      field: "baseUrl",
      hint: "allow it if the upstream is yours",
    });
  const upstream: Api.Upstream = {
    id: `engine_new${world.upstreams.length}`,
    name: body.name,
    kind: "openai",
    baseUrl: body.baseUrl,
    zone: body.zone ?? "external",
    enabled: true,
    hasCredential: body.apiKey !== undefined,
    models: Object.keys(body.models ?? {}),
    state: "unknown",
    probe: null,
  };
  world.upstreams.push(upstream);
  return Response.json(upstream, { status: 201 });
}

/** Streams half a sentence, waits as long as the test wants, then the rest. */
async function chat(world: World, request: Request, rest: Promise<void>): Promise<Response> {
  const body: { model: string } = JSON.parse(await request.text());
  if (body.model === "qwen3-4b")
    return refuse(404, "model.unpriced", "qwen3-4b has no price", { field: "model" });
  const words =
    "there was a lighthouse keeper who counted the ships, and every ship had a name.".split(" ");
  const chunk = (value: object) => `data: ${JSON.stringify(value)}\n\n`;
  const said = (some: readonly string[]) =>
    some.map((word) => chunk({ choices: [{ delta: { content: `${word} ` } }] })).join("");
  const stream = new ReadableStream({
    start: async (controller) => {
      controller.enqueue(said(words.slice(0, 5)));
      await rest;
      controller.enqueue(said(words.slice(5)));
      controller.enqueue(chunk({ choices: [{ delta: {}, finish_reason: "stop" }] }));
      controller.enqueue(
        `${chunk({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 16 } })}data: [DONE]\n\n`,
      );
      controller.close();
    },
  });
  return new Response(stream, {
    headers: {
      "content-type": "text/event-stream",
      "x-request-id": world.requests.find((row) => row.status === "ok")?.requestId ?? "req_none",
    },
  });
}

if (import.meta.main) {
  const fixture = await startFixture({
    port: Number(process.argv[2] ?? 4199),
    empty: process.argv.includes("--empty"),
  });
  console.log(`${fixture.url}/start?link=${ONE_TIME_LINK}`);
}
