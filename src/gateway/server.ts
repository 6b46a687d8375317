// The gateway's door: bytes in, the route matched once, probes and metrics beside it.
// Invariants: loopback unless told otherwise by the caller of `openGateway`; no route here changes state outside the walk.

import { refuse } from "../kit/fault.ts";
import type { Metrics } from "../kit/metrics.ts";
import type { Endpoint } from "../billing/metering/types.ts";
import { makeId } from "../kit/id.ts";
import { admit } from "./admit.ts";
import { errorResponse } from "./dialects/openai/errors.ts";
import { listModels } from "./models.ts";
import { openSweep } from "./sweep.ts";
import type { GatewayDeps } from "./types.ts";
import { walk } from "./walk.ts";

export interface GatewayServerOptions {
  readonly host: string;
  readonly port: number;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly metrics: Metrics;
  /** False: /metrics does not exist for this caller. */
  readonly mayReadMetrics: (request: Request) => boolean;
  /** Reasons why this gateway cannot keep its promises; empty: ready. */
  readonly unready: () => readonly string[];
}

export interface GatewayServer {
  readonly url: string;
  readonly port: number;
  readonly openStreams: () => number;
  /** Stops accepting (idle connections close, HTTP/2 says GOAWAY), waits for what is open up to the bound, then cuts. */
  drain(deadlineMs: number): Promise<void>;
}

const POSTS: Readonly<Record<string, Endpoint>> = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "completions",
  "/v1/embeddings": "embeddings",
};
const MODELS = "/v1/models";
/** The server cuts larger bodies off without a word; up to here the caller gets an answer that says why. */
const BODY_BYTES_ANSWERED = 1024 ** 3;
/** For the last settlements. */
const LAST_MS = 2_000;
const LAST_WORDS_MS = 100;

/** The path of a URL, without parsing the rest; HTTP/1.0 without a host comes as a bare path. */
function pathOf(url: string): string {
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("://") + 3);
  if (start < 0) return "/";
  const query = url.indexOf("?", start);
  return query < 0 ? url.slice(start) : url.slice(start, query);
}

/** Names are looked up as they came when their escapes are broken: then none fits. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The part of Bun's server that a request needs. */
interface Connections {
  timeout(request: Request, seconds: number): void;
}

class Gateway {
  readonly #deps: GatewayDeps;
  readonly #options: GatewayServerOptions;
  readonly #sweep = openSweep();
  readonly #server: ReturnType<typeof Bun.serve>;
  readonly #idleS: number;
  #draining = false;
  #open = 0;

  constructor(deps: GatewayDeps, options: GatewayServerOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#idleS = Math.ceil(deps.limits.idleMs / 1000);
    this.#server = Bun.serve({
      hostname: options.host,
      port: options.port,
      reusePort: true,
      // With TLS by ALPN, without it for callers who speak it from the first byte (h2c); HTTP/1.1 for all others.
      http2: true,
      idleTimeout: this.#idleS,
      maxRequestBodySize: BODY_BYTES_ANSWERED,
      ...(options.tls ? { tls: options.tls } : {}),
      fetch: (request, server) => this.#answer(request, server),
      error: () =>
        errorResponse(
          refuse("internal", "This gateway failed."),
          makeId("req", deps.clock, deps.dice),
        ),
    });
  }

  #answer(request: Request, connections: Connections): Response | Promise<Response> {
    const path = pathOf(request.url);
    const endpoint = POSTS[path];
    if (endpoint === undefined) return this.#other(request, path);
    if (request.method !== "POST") return this.#refuse("request.method", `Use POST for ${path}.`);
    if (this.#draining) return this.#refuse("service.draining", "This gateway is stopping.");
    // An answer may be silent for longer than a connection; it has deadlines of its own.
    connections.timeout(request, 0);
    const rest = () => connections.timeout(request, this.#idleS);
    return this.#counted(walk(this.#deps, { endpoint, request, rest }, this.#sweep));
  }

  async #counted(answer: Promise<Response>): Promise<Response> {
    this.#open += 1;
    try {
      return await answer;
    } finally {
      this.#open -= 1;
    }
  }

  #refuse(code: Parameters<typeof refuse>[0], message: string): Response {
    const id = makeId("req", this.#deps.clock, this.#deps.dice);
    return errorResponse(refuse(code, message), id);
  }

  #other(request: Request, path: string): Response {
    if (path === "/") return new Response(request.method === "HEAD" ? null : "Intertie gateway\n");
    if (path === "/healthz") return new Response("ok\n");
    if (path === "/readyz") return this.#ready();
    if (path === "/metrics" && this.#options.mayReadMetrics(request))
      return new Response(this.#options.metrics.render(), {
        headers: { "content-type": "text/plain; version=0.0.4" },
      });
    if (path === MODELS || path.startsWith(`${MODELS}/`)) return this.#models(request, path);
    // Codex tries a WebSocket first; 426 makes it fall back at once, other answers make it retry.
    if (request.headers.get("upgrade")?.toLowerCase() === "websocket")
      return this.#refuse("upgrade.refused", "WebSocket is not served here; use HTTP.");
    return this.#refuse("route.not_found", `There is no ${path} here.`);
  }

  #ready(): Response {
    const reasons = this.#draining ? ["draining"] : this.#options.unready();
    return Response.json(
      { ready: reasons.length === 0, reasons },
      { status: reasons.length === 0 ? 200 : 503 },
    );
  }

  #models(request: Request, path: string): Response {
    if (request.method !== "GET") return this.#refuse("request.method", "Use GET for models.");
    const deps = this.#deps;
    const id = makeId("req", deps.clock, deps.dice);
    const snapshot = deps.snapshot();
    if (snapshot === undefined)
      return errorResponse(
        refuse("snapshot.too_old", "This gateway has no current configuration."),
        id,
      );
    const caller = admit(snapshot, request.headers, deps.tokenHmac, deps.clock.nowMs());
    if (!caller.ok) return errorResponse(caller, id);
    const name = path === MODELS ? undefined : decoded(path.slice(MODELS.length + 1));
    const listed = listModels(snapshot, caller.tenant, deps.clock.nowMs(), name);
    return listed.ok
      ? Response.json(listed.body, { headers: { "x-request-id": id } })
      : errorResponse(listed, id);
  }

  readonly url = () =>
    `${this.#options.tls ? "https" : "http"}://${this.#options.host}:${this.#server.port}`;
  readonly port = () => this.#server.port ?? 0;
  readonly openStreams = () => this.#sweep.size;

  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    const stopped = this.#server.stop(false);
    await this.#untilQuiet(deadlineMs);
    if (this.#sweep.size > 0) {
      await Promise.race([this.#sweep.cutAll(), Bun.sleep(LAST_MS)]);
      // The words that told so are on their way; after them whoever does not read is cut off.
      await Bun.sleep(LAST_WORDS_MS);
    }
    const closed = this.#server.stop(true);
    await this.#untilQuiet(LAST_MS);
    await Promise.race([Promise.all([stopped, closed]), Bun.sleep(LAST_MS)]);
    this.#sweep.close();
  }

  /** No request is open any more, or the time is up. */
  async #untilQuiet(withinMs: number): Promise<void> {
    const { clock } = this.#deps;
    const until = clock.monotonicMs() + withinMs;
    while ((this.#sweep.size > 0 || this.#open > 0) && clock.monotonicMs() < until)
      await Bun.sleep(20);
  }
}

/** Listens; throws when the port is taken. */
export function openGateway(deps: GatewayDeps, options: GatewayServerOptions): GatewayServer {
  const gateway = new Gateway(deps, options);
  return {
    url: gateway.url(),
    port: gateway.port(),
    openStreams: gateway.openStreams,
    drain: (deadlineMs) => gateway.drain(deadlineMs),
  };
}
