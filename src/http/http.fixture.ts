// A real control server on loopback with a handful of routes, for this room's tests.
// Invariant: the wire is real: what a test sends and reads are bytes on a socket.

import { z } from "zod";
import { Fault } from "../kit/fault.ts";
import type { Log, LogFields } from "../kit/log.ts";
import { LOOPBACK_NAMES } from "./origin.ts";
import { openHttpServer, type HttpServer, type HttpServerOptions } from "./server.ts";
import { defineRoute, Reply, type Principal, type RawRoute, type Route } from "./types.ts";

const Thing = z.strictObject({ name: z.string().min(1), limit: z.int().positive().optional() });

const about = { summary: "for tests", tag: "tests", faults: [] } as const;

const ROUTES: readonly Route[] = [
  defineRoute({
    ...about,
    method: "GET",
    path: "/api/v1/things/:id",
    permission: "keys.read",
    params: z.object({ id: z.string().max(20) }),
    query: z.strictObject({ limit: z.coerce.number().int().max(9).optional() }),
    response: z.strictObject({ id: z.string() }),
    status: 200,
    run: async (_, { params }) => ({ id: params.id }),
  }),
  defineRoute({
    ...about,
    method: "POST",
    path: "/api/v1/things",
    permission: "keys.write",
    body: Thing,
    response: Thing,
    status: 201,
    run: async (_, { body }) => body,
  }),
  defineRoute({
    ...about,
    method: "DELETE",
    path: "/api/v1/things/:id",
    permission: "keys.write",
    response: z.null(),
    status: 204,
    run: async () => new Reply(null, { "set-cookie": "a=b" }),
  }),
  defineRoute({
    ...about,
    method: "GET",
    path: "/api/v1/open",
    permission: "public",
    response: z.strictObject({ ok: z.boolean() }),
    status: 200,
    run: async () => ({ ok: true }),
  }),
  defineRoute({
    ...about,
    method: "GET",
    path: "/api/v1/broken",
    permission: "public",
    response: z.strictObject({ ok: z.boolean() }),
    status: 200,
    run: async () => Promise.reject(new Error("password is hunter2")),
  }),
  defineRoute({
    ...about,
    method: "GET",
    path: "/api/v1/database-down",
    permission: "public",
    response: z.strictObject({ ok: z.boolean() }),
    status: 200,
    run: async () =>
      Promise.reject(Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" })),
  }),
];

const RAW: readonly RawRoute[] = [
  {
    ...about,
    method: "GET",
    path: "/api/v1/stream",
    permission: "keys.read",
    answers: "text/event-stream",
    handle: () => new Response("data: 1\n\n", { headers: { "content-type": "text/event-stream" } }),
  },
];

const READER = {
  role: "auditor",
  permissions: new Set(["keys.read"]),
} as unknown as Principal;
const WRITER = {
  role: "owner",
  permissions: new Set(["keys.read", "keys.write"]),
} as unknown as Principal;

export interface LoggedLine {
  readonly event: string;
  readonly fields: LogFields | undefined;
}

function logInto(lines: LoggedLine[]): Log {
  const put = (event: string, fields?: LogFields) => void lines.push({ event, fields });
  const log: Log = { debug: put, info: put, warn: put, error: put, child: () => log };
  return log;
}

export interface TestServer extends HttpServer {
  readonly logged: readonly LoggedLine[];
  /** Writes bytes, answers what came back until the other side closes or `until` is in it. */
  raw(text: string, until: string): Promise<string>;
}

function rawAsk(port: number, text: string, until: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let answer = "";
  void Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(text),
      data: (socket, bytes) => {
        answer += bytes.toString();
        if (!answer.includes(until)) return;
        socket.end();
        resolve(answer);
      },
      close: () => resolve(answer),
      error: (_, error) => reject(error),
    },
  }).catch(reject);
  return promise;
}

export function openTestServer(more: Partial<HttpServerOptions> = {}): TestServer {
  const logged: LoggedLine[] = [];
  let requests = 0;
  const server = openHttpServer({
    host: "127.0.0.1",
    port: 0,
    portFlag: "--control-port",
    hosts: LOOPBACK_NAMES,
    routes: ROUTES,
    rawRoutes: RAW,
    handlers: [
      (request) =>
        new URL(request.url).pathname === "/page" ? new Response("<p>hello") : undefined,
    ],
    authenticate: async (request) => {
      const header = request.headers.get("authorization");
      if (header === "Bearer reader") return READER;
      if (header === "Bearer writer") return WRITER;
      throw new Fault("session.missing", { message: "sign in", hint: "with a key" });
    },
    makeRequestId: () => `req_${(requests += 1)}`,
    log: logInto(logged),
    ...more,
  });
  return { ...server, logged, raw: (text, until) => rawAsk(server.port, text, until) };
}
