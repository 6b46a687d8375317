// The embedded upstream: llama.cpp on the OpenAI dialect, on one address. Serves what the index names, also what comes later.
// Invariant: nothing under /v1 runs without the bearer; nothing is generated for a caller who has left.

import { cpus } from "node:os";
import { createHash } from "node:crypto";
import { Fault, type Refusal } from "../kit/fault.ts";
import { equalBytes } from "../kit/secret.ts";
import { readChat, readCompletion, readEmbedding } from "./ask.rules.ts";
import type { HeldTokens } from "./answer.ts";
import { toError, toModelList } from "./dialect.rules.ts";
import {
  exchange,
  exchangeEmbedding,
  toFault,
  type Caller,
  type ExchangeDeps,
} from "./exchange.ts";
import { openIndexReader, type IndexReader } from "./index-file.ts";
import { loadModel, openLlama, threadsFor } from "./llama.ts";
import { openEngineMetrics } from "./metrics.ts";
import { openShelf } from "./shelf.ts";
import type { Engine, EngineOptions } from "./types.ts";

const LOADED_MAX = 2;
const SLOTS = 4;
const WAITING_MAX = 32;
const BODY_BYTES_MAX = 8 * 1_048_576;
/** A reader that takes nothing for so long, once its answer is written, is let go. */
const READER_IDLE_S = 60;
const LAST_WORDS_MS = 1_000;

type Answer = (request: Request, caller: Caller, leave: () => void) => Promise<Response> | Response;

interface Site {
  readonly deps: ExchangeDeps;
  readonly index: IndexReader;
  readonly held: ReadonlyMap<string, number>;
  readonly slots: number;
}

async function bodyOf(request: Request): Promise<unknown> {
  const text = await request.text();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault("request.json", { message: "the body is not valid JSON", cause });
  }
}

function valueOf<T>(read: { readonly ok: true; readonly value: T } | Refusal): T {
  if (read.ok) return read.value;
  throw new Fault(read.code, read);
}

function metricsText({ deps, index, held, slots }: Site): string {
  const loads = index.list().map(({ name, contextTokens }) => {
    const { running = 0, waiting = 0 } = deps.shelf.slotsOf(name) ?? {};
    const cacheShare = (held.get(name) ?? 0) / (slots * contextTokens);
    return { name, running, waiting, cacheShare };
  });
  return deps.metrics.render(loads);
}

function routesOf(site: Site): Readonly<Record<string, Readonly<Record<string, Answer>>>> {
  const { deps, index } = site;
  return {
    "/v1/chat/completions": {
      POST: async (request, caller, leave) =>
        exchange(deps, caller, leave, valueOf(readChat(await bodyOf(request)))),
    },
    "/v1/completions": {
      POST: async (request, caller, leave) =>
        exchange(deps, caller, leave, valueOf(readCompletion(await bodyOf(request)))),
    },
    "/v1/embeddings": {
      POST: async (request, caller) =>
        exchangeEmbedding(deps, caller, valueOf(readEmbedding(await bodyOf(request)))),
    },
    "/v1/models": { GET: () => Response.json(toModelList(index.list(), index.changedAtS)) },
    "/healthz": { GET: () => new Response("ok\n") },
    "/readyz": { GET: () => new Response("ok\n") },
    "/metrics": {
      GET: () =>
        new Response(metricsText(site), {
          headers: { "content-type": "text/plain; version=0.0.4" },
        }),
    },
  };
}

const sha256 = (text: string) => new Uint8Array(createHash("sha256").update(text).digest());

/** Digests have one length, so that neither the length nor the place of a difference shows in the time taken. */
function guardOf(bearer: string): (request: Request) => void {
  const expected = sha256(`Bearer ${bearer}`);
  return (request) => {
    const sent = request.headers.get("authorization");
    if (sent === null) throw new Fault("key.missing", { message: "send the engine's bearer" });
    if (!equalBytes(sha256(sent), expected))
      throw new Fault("key.unknown", { message: "this is not the engine's bearer" });
  };
}

function errorResponse(fault: Fault): Response {
  const retry = fault.retryAfterSeconds;
  const headers: Record<string, string> =
    retry === undefined ? {} : { "retry-after": String(retry) };
  return Response.json(toError(fault), {
    status: fault.status,
    headers: { ...headers, "x-intertie-fault": fault.code },
  });
}

function find(routes: ReturnType<typeof routesOf>, method: string, pathname: string): Answer {
  const methods = Object.hasOwn(routes, pathname) ? routes[pathname] : undefined;
  if (!methods)
    throw new Fault("route.not_found", {
      message: `there is nothing at ${pathname.slice(0, 200)}`,
    });
  const answer = Object.hasOwn(methods, method) ? methods[method] : undefined;
  if (answer) return answer;
  const allowed = Object.keys(methods).join(", ");
  throw new Fault("request.method", { message: `${pathname} answers ${allowed}` });
}

interface Door {
  readonly fetch: (request: Request, server: Bun.Server<undefined>) => Promise<Response>;
  drain(withinMs: number): Promise<void>;
}

/** Knows who is inside, lets nobody in once it drains, and cuts those who stay too long. */
function openDoor(site: Site, bearer: string): Door {
  const routes = routesOf(site);
  const guard = guardOf(bearer);
  const inside = new Map<AbortController, Promise<void>>();
  let draining = false;

  const enter = (request: Request, server: Bun.Server<undefined>) => {
    const control = new AbortController();
    const leave = () =>
      control.abort(new Fault("service.draining", { message: "the caller has left" }));
    const { promise, resolve } = Promise.withResolvers<void>();
    inside.set(control, promise);
    request.signal.addEventListener("abort", leave, { once: true });
    // Silent for as long as the model is: reading a long prompt on one slow core takes minutes.
    server.timeout(request, 0);
    const done = () => {
      if (inside.delete(control) && !request.signal.aborted) server.timeout(request, READER_IDLE_S);
      resolve();
    };
    const caller = { signal: control.signal, arrivedMs: site.deps.clock.monotonicMs(), done };
    return { caller, leave };
  };

  const admit = async (request: Request, server: Bun.Server<undefined>): Promise<Response> => {
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/v1/")) guard(request);
    const answer = find(routes, request.method, pathname);
    if (draining)
      throw new Fault("service.draining", {
        message: "the engine is stopping",
        retryAfterSeconds: 2,
      });
    const { caller, leave } = enter(request, server);
    try {
      const response = await answer(request, caller, leave);
      if (!response.headers.get("content-type")?.startsWith("text/event-stream")) caller.done();
      return response;
    } catch (error) {
      caller.done();
      throw error;
    }
  };

  return {
    fetch: (request, server) =>
      admit(request, server).catch((error: unknown) =>
        errorResponse(toFault(error, site.deps.log)),
      ),
    drain: async (withinMs) => {
      draining = true;
      const all = Promise.all(inside.values());
      const timer = Promise.withResolvers<void>();
      const handle = setTimeout(timer.resolve, withinMs);
      await Promise.race([all, timer.promise]);
      clearTimeout(handle);
      const stopping = new Fault("service.draining", { message: "the engine is stopping" });
      for (const control of inside.keys()) control.abort(stopping);
      await Promise.all(inside.values());
    },
  };
}

function serve(options: EngineOptions, door: Door): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname: options.host,
      port: options.port,
      idleTimeout: READER_IDLE_S,
      maxRequestBodySize: BODY_BYTES_MAX,
      fetch: door.fetch,
    });
  } catch (cause) {
    const busy = cause instanceof Error && "code" in cause && cause.code === "EADDRINUSE";
    if (!busy) throw cause;
    throw new Error(`port ${options.port} is busy: choose another with --engine-port PORT`, {
      cause,
    });
  }
}

function openHeld(): { readonly held: HeldTokens; readonly byModel: ReadonlyMap<string, number> } {
  const byModel = new Map<string, number>();
  const change = (model: string, by: number) => byModel.set(model, (byModel.get(model) ?? 0) + by);
  return { held: { change }, byModel };
}

export async function openEngine(options: EngineOptions): Promise<Engine> {
  const { log, clock, dice } = options;
  const slots = options.slots ?? SLOTS;
  const threads = options.threads ?? threadsFor(cpus().length);
  const llama = await openLlama(log, threads);
  const index = openIndexReader(options.artifactsDir, log);
  const shelf = openShelf(
    {
      index,
      log,
      monotonicMs: clock.monotonicMs,
      load: ({ path, contextTokens }) => loadModel(llama, { path, contextTokens, slots, threads }),
    },
    { loadedMax: LOADED_MAX, slots, waitingMax: options.waitingMax ?? WAITING_MAX },
  );
  const { held, byModel } = openHeld();
  const deps = { shelf, metrics: openEngineMetrics(), held, clock, dice, log };
  const door = openDoor({ deps, index, held: byModel, slots }, options.bearer);
  const server = serve(options, door);
  const port = server.port ?? options.port;
  return {
    port,
    url: `http://${options.host}:${port}`,
    drain: async (withinMs) => {
      await door.drain(withinMs);
      // The last words of those who were cut are on their way; a reader who takes nothing does not hold the stop up.
      const cut = setTimeout(() => void server.stop(true), LAST_WORDS_MS);
      await server.stop();
      clearTimeout(cut);
      await shelf.close();
      await llama.dispose();
    },
  };
}
