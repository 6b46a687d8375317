// Control's HTTP server: every request takes the same steps (host, route, credential, permission, validation, run, response).
// Invariant: nothing runs for a caller before the permission that its route names was checked.

import { Fault } from "../kit/fault.ts";
import type { Log } from "../kit/log.ts";
import { parseJson, readBody } from "./json.ts";
import { judgeHost, judgeOrigin } from "./origin.ts";
import { faultResponse, jsonResponse, secured } from "./respond.ts";
import { createRouter, type Router } from "./router.ts";
import { Reply, type Principal, type RawRoute, type Route } from "./types.ts";
import { validate } from "./validate.ts";

/** Paths outside the API: uplink, health, metrics, console files. Undefined: not mine. */
export type Handler = (request: Request) => Promise<Response> | Response | undefined;

export interface HttpServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Named when the port is busy, e.g. `--control-port`. */
  readonly portFlag: string;
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Names in the Host header that are answered; undefined: any. */
  readonly hosts?: readonly string[];
  readonly routes: readonly Route[];
  readonly rawRoutes?: readonly RawRoute[];
  /** Throws a fault when the credential is absent or wrong. */
  readonly authenticate: (request: Request) => Promise<Principal>;
  /** Asked in this order before the API's routes. */
  readonly handlers?: readonly Handler[];
  readonly makeRequestId: () => string;
  readonly log: Log;
}

export interface HttpServer {
  readonly url: string;
  readonly port: number;
  /** Open requests end first, within `withinMs`; then the rest is cut. */
  close(withinMs?: number): Promise<void>;
}

type Answer = (request: Request, requestId: string) => Promise<Response>;

const BODY_BYTES_MAX = 1_048_576;
const BODY_WITHIN_MS = 15_000;
/** Segments of the journal are the largest bodies anybody sends. */
const ANY_BODY_BYTES_MAX = 64 * 1_048_576;
const IDLE_MAX_S = 60;
const STREAMS = /^(text\/event-stream|application\/x-ndjson)/;

function demand(route: Pick<Route, "permission">, principal: Principal): void {
  const { permission } = route;
  if (permission === "signed-in" || permission === "public") return;
  if (principal.permissions.has(permission)) return;
  throw new Fault("permission.denied", {
    message: `this needs the permission ${permission}; the role ${principal.role} does not have it`,
  });
}

/** Stands in where a public route runs: it has no tenant, so every read with it finds nothing. */
const NOBODY = {
  firmId: "",
  organisationId: "",
  projectId: "",
  keyId: "",
  role: "public",
  permissions: new Set(),
  via: "key",
} as unknown as Principal;

async function bodyOf(route: Pick<Route, "body">, request: Request): Promise<unknown> {
  if (!route.body) return undefined;
  const text = await readBody(request, BODY_BYTES_MAX, BODY_WITHIN_MS);
  return text === "" ? {} : parseJson(text);
}

async function runRoute(
  options: HttpServerOptions,
  route: Route | RawRoute,
  params: Readonly<Record<string, string>>,
  request: Request,
  requestId: string,
): Promise<Response> {
  const principal = route.permission === "public" ? NOBODY : await options.authenticate(request);
  demand(route, principal);
  if ("handle" in route) return route.handle(request, principal, requestId);
  const search = new URL(request.url).searchParams;
  const input = validate(route, params, search, await bodyOf(route, request));
  const result = await route.run({ principal, requestId }, input);
  const [body, headers] = result instanceof Reply ? [result.body, result.headers] : [result, {}];
  return jsonResponse(
    route.status,
    route.status === 204 ? null : route.response.parse(body),
    headers,
  );
}

/** The address follows from the Host header, which may say anything. */
function pathOf(request: Request): string {
  const url = URL.parse(request.url);
  if (url) return url.pathname;
  throw new Fault("request.invalid", { message: "Host: this is no name of a host", field: "Host" });
}

function otherMethod(
  options: HttpServerOptions,
  request: Request,
  requestId: string,
  answered: readonly string[],
): Response {
  const allow = [
    ...answered.flatMap((method) => (method === "GET" ? ["GET", "HEAD"] : [method])),
    "OPTIONS",
  ].join(", ");
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers: { allow } });
  const fault = new Fault("request.method", { message: `this address answers ${allow}` });
  return faultResponse(fault, requestId, options.log, { allow });
}

function answerOf(options: HttpServerOptions, router: Router<Route | RawRoute>): Answer {
  return async (request, requestId) => {
    judgeHost(request.headers.get("host"), options.hosts);
    const pathname = pathOf(request);
    for (const handler of options.handlers ?? []) {
      const response = await handler(request);
      if (response) return response;
    }
    judgeOrigin(request);
    // Bun sends a HEAD's answer without its body.
    const match = router.match(request.method === "HEAD" ? "GET" : request.method, pathname);
    if (match.kind === "found")
      return runRoute(options, match.route, match.params, request, requestId);
    if (match.kind === "method") return otherMethod(options, request, requestId, match.allow);
    throw new Fault("route.not_found", {
      message: `there is nothing at ${pathname.slice(0, 200)}`,
    });
  };
}

/** The whole server as a function, which is also how tests ask it without a socket. */
export function createHttpHandler(
  options: HttpServerOptions,
): (request: Request) => Promise<Response> {
  const answer = answerOf(
    options,
    createRouter<Route | RawRoute>([...options.routes, ...(options.rawRoutes ?? [])]),
  );
  const withTls = options.tls !== undefined;
  return async (request) => {
    const requestId = options.makeRequestId();
    try {
      return secured(await answer(request, requestId), requestId, withTls);
    } catch (error) {
      return secured(faultResponse(error, requestId, options.log), requestId, withTls);
    }
  };
}

function serve(options: HttpServerOptions) {
  const handle = createHttpHandler(options);
  try {
    return Bun.serve({
      hostname: options.host,
      port: options.port,
      ...(options.tls ? { tls: options.tls } : {}),
      idleTimeout: IDLE_MAX_S,
      maxRequestBodySize: ANY_BODY_BYTES_MAX,
      fetch: async (request, server) => {
        const response = await handle(request);
        // A stream may be silent for as long as its upstream is.
        if (STREAMS.test(response.headers.get("content-type") ?? "")) server.timeout(request, 0);
        return response;
      },
    });
  } catch (cause) {
    const busy = cause instanceof Error && "code" in cause && cause.code === "EADDRINUSE";
    if (!busy) throw cause;
    throw new Error(`port ${options.port} is busy: choose another with ${options.portFlag} PORT`, {
      cause,
    });
  }
}

export function openHttpServer(options: HttpServerOptions): HttpServer {
  const server = serve(options);
  const port = server.port ?? options.port;
  return {
    port,
    url: `${options.tls ? "https" : "http"}://${options.host}:${port}`,
    close: async (withinMs = 5_000) => {
      const cut = setTimeout(() => void server.stop(true), withinMs);
      await server.stop();
      clearTimeout(cut);
    },
  };
}
