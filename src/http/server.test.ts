import { afterAll, beforeAll, expect, test } from "bun:test";
import { openTestServer, type TestServer } from "./http.fixture.ts";

let server: TestServer;
beforeAll(() => void (server = openTestServer()));
afterAll(() => server.close(100));

const writer = { authorization: "Bearer writer" };
const ask = (path: string, init: RequestInit = {}) =>
  fetch(`${server.url}${path}`, { ...init, redirect: "manual" });
const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = writer) =>
  ask("/api/v1/things", { method: "POST", body, headers });

async function faultOf(response: Response) {
  const body: { error: { code: string; field?: string; requestId: string; message: string } } =
    await response.json();
  expect(body.error.requestId).toBe(response.headers.get("x-request-id") ?? "");
  return [response.status, body.error.code, body.error.field] as const;
}

test("200, 201, 204: an answer, something made, nothing to say", async () => {
  const read = await ask("/api/v1/things/a%2Fb", { headers: writer });
  expect([read.status, await read.json()]).toEqual([200, { id: "a/b" }]);
  const made = await post('{"name":"n"}');
  expect([made.status, await made.json()]).toEqual([201, { name: "n" }]);
  const gone = await ask("/api/v1/things/a", { method: "DELETE", headers: writer });
  expect([gone.status, await gone.text(), gone.headers.get("set-cookie")]).toEqual([
    204,
    "",
    "a=b",
  ]);
});

test.each([
  ["no credential", {}, 401, "session.missing"],
  ["a role without the permission", { authorization: "Bearer reader" }, 403, "permission.denied"],
] as const)("%s is refused before the body is read", async (_, headers, status, code) => {
  expect(await faultOf(await post("not even JSON", headers))).toEqual([status, code, undefined]);
});

const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);
test.each([
  ["{", "request.json", undefined],
  ["", "request.invalid", "name"],
  ["[]", "request.invalid", "body"],
  ['{"name":""}', "request.invalid", "name"],
  ['{"name":"n","limit":-1}', "request.invalid", "limit"],
  ['{"name":"n","limit":1.5}', "request.invalid", "limit"],
  ['{"name":"n","admin":true}', "request.invalid", "admin"],
  ['{"name":"a","name":"b"}', "request.json_duplicate_key", "name"],
  [String.raw`{"name":"a","n\u0061me":"b"}`, "request.json_duplicate_key", "name"],
  [String.raw`{"name":"a\u0000b"}`, "request.invalid", "name"],
  [String.raw`{"name":"half \ud83d"}`, "request.invalid", "name"],
  [String.raw`{"\ud83d":"n"}`, "request.invalid", "\ud83d"],
  ['{"__proto__":{"name":"n"}}', "request.json_prototype", undefined],
  [`{"name":${deep(32)}}`, "request.json_depth", undefined],
] as const)("400: the body %p is %s at %s", async (body, code, field) => {
  expect(await faultOf(await post(body))).toEqual([400, code, field]);
});

test("400: a NUL in the path or the query, which no database takes", async () => {
  for (const [path, field] of [
    ["/api/v1/things/a%00b", "id"],
    ["/api/v1/things/a?limit=%00", "limit"],
  ] as const) {
    const answer = await ask(path, { headers: writer });
    expect(await faultOf(answer)).toEqual([400, "request.invalid", field]);
  }
});

test("400: bytes that are no UTF-8", async () => {
  expect(await faultOf(await post(new Uint8Array([0x22, 0xff, 0x22])))).toEqual([
    400,
    "request.json",
    undefined,
  ]);
});

test("413: a body over 1 MiB, whether it says its length or not", async () => {
  const large = `"${"a".repeat(1_048_576)}"`;
  expect(await faultOf(await post(large))).toEqual([413, "request.too_large", undefined]);
  const chunked = await server.raw(
    `POST /api/v1/things HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer writer\r\nTransfer-Encoding: chunked\r\n\r\n${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`,
    "request.too_large",
  );
  expect(chunked).toStartWith("HTTP/1.1 413 ");
});

test.each([
  ["/api/v1/things/aaaaaaaaaaaaaaaaaaaaaaaaa", "id"],
  ["/api/v1/things/a?limit=10", "limit"],
  ["/api/v1/things/a?limit=1&limit=2", "limit"],
  ["/api/v1/things/a?other=1", "other"],
  ["/api/v1/things/a?__proto__=1", "__proto__"],
])("400: %s names %s", async (path, field) => {
  expect(await faultOf(await ask(path, { headers: writer }))).toEqual([
    400,
    "request.invalid",
    field,
  ]);
});

test("404: nothing there, whatever the path looks like", async () => {
  for (const path of ["/api/v1/none", "/api/v1/things/", "/api/v1/things/a/", "/api/v1//things"])
    expect(await faultOf(await ask(path, { headers: writer }))).toEqual([
      404,
      "route.not_found",
      undefined,
    ]);
});

test("405 names what the address answers; OPTIONS asks for just that, HEAD is a GET without body", async () => {
  const wrong = await ask("/api/v1/things/a", { method: "PATCH", headers: writer });
  expect(wrong.headers.get("allow")).toBe("GET, HEAD, DELETE, OPTIONS");
  expect(await faultOf(wrong)).toEqual([405, "request.method", undefined]);
  const options = await ask("/api/v1/things", { method: "OPTIONS" });
  expect([options.status, options.headers.get("allow")]).toEqual([204, "POST, OPTIONS"]);
  const head = await ask("/api/v1/open", { method: "HEAD" });
  expect([head.status, head.headers.get("content-length"), await head.text()]).toEqual([
    200,
    "11",
    "",
  ]);
});

test("no preflight of another site is ever granted", async () => {
  const preflight = await ask("/api/v1/things", {
    method: "OPTIONS",
    headers: { origin: "https://evil.example", "access-control-request-method": "POST" },
  });
  expect([...preflight.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual(
    [],
  );
});

test("500: what an exception says stays in the log, under the request's id", async () => {
  const response = await ask("/api/v1/broken");
  const text = await response.clone().text();
  expect(await faultOf(response)).toEqual([500, "internal", undefined]);
  expect(text).not.toContain("hunter2");
  const line = server.logged.find(({ event }) => event === "http.internal");
  expect(line?.fields?.["requestId"]).toBe(response.headers.get("x-request-id") ?? "");
  expect(line?.fields?.["reason"]).toContain("hunter2");
});

test("503: no database, and when to come again", async () => {
  const response = await ask("/api/v1/database-down");
  expect(response.headers.get("retry-after")).toBe("2");
  expect(await faultOf(response)).toEqual([503, "database.unavailable", undefined]);
});

test("every answer has the security headers, is not cached and carries its request's id", async () => {
  const ids = new Set<string>();
  const paths = ["/api/v1/open", "/api/v1/none", "/api/v1/broken", "/page", "/api/v1/stream"];
  for (const path of paths) {
    const { headers } = await ask(path, { headers: writer });
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("cache-control")).toBe("no-store");
    ids.add(headers.get("x-request-id") ?? "");
  }
  expect(ids.size).toBe(paths.length);
});

test("a busy port names itself and the flag", () => {
  expect(() => openTestServer({ port: server.port })).toThrow(
    `port ${server.port} is busy: choose another with --control-port PORT`,
  );
});

test("close lets an open request finish", async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
  const { promise: leave, resolve: release } = Promise.withResolvers<void>();
  const own = openTestServer({
    handlers: [
      async () => {
        enter();
        await leave;
        return new Response("done");
      },
    ],
  });
  const answer = fetch(own.url);
  await entered;
  const closed = own.close(5_000);
  release();
  expect(await (await answer).text()).toBe("done");
  await closed;
});
