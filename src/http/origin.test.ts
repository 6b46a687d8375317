import { afterAll, beforeAll, expect, test } from "bun:test";
import { openTestServer, type TestServer } from "./http.fixture.ts";

let server: TestServer;
beforeAll(() => void (server = openTestServer()));
afterAll(() => server.close(100));

const get = (host: string) => server.raw(`GET /api/v1/open HTTP/1.1\r\nHost: ${host}\r\n\r\n`, "}");

test.each(["localhost", "LOCALHOST:4110", "127.0.0.1:80", "[::1]:4110"])(
  "the name %s is ours",
  async (host) => {
    expect(await get(host)).toStartWith("HTTP/1.1 200 ");
  },
);

test.each([
  "evil.example",
  "localhost.evil.example",
  "127.0.0.1.nip.io",
  "localhost:4110:1",
  "user@localhost",
  "localhost.",
])("403: a page under the name %s (DNS rebinding) gets nothing", async (host) => {
  const answer = await get(host);
  expect(answer).toStartWith("HTTP/1.1 403 ");
  expect(answer).toContain('"code":"permission.denied"');
});

test("403: the name is judged before handlers, health and console files included", async () => {
  const answer = await server.raw("GET /page HTTP/1.1\r\nHost: evil.example\r\n\r\n", "}");
  expect(answer).toStartWith("HTTP/1.1 403 ");
  expect(answer).not.toContain("hello");
});

test("400: a name that is none, where every name is answered", async () => {
  const open = openTestServer({ hosts: undefined as never });
  for (const host of ["evil host", "a[b", "%zz"])
    expect(await open.raw(`GET /api/v1/open HTTP/1.1\r\nHost: ${host}\r\n\r\n`, "}")).toStartWith(
      "HTTP/1.1 400 ",
    );
  expect(open.logged).toEqual([]);
  await open.close(100);
});

const change = (headers: Readonly<Record<string, string>>) =>
  fetch(`${server.url}/api/v1/things`, {
    method: "POST",
    body: '{"name":"n"}',
    headers: { authorization: "Bearer writer", ...headers },
  });

test.each([
  ["another site", { origin: "https://evil.example" }],
  ["a sandboxed frame", { origin: "null" }],
  ["another port of this machine", { origin: "http://127.0.0.1:1" }],
  ["a sibling site", { "sec-fetch-site": "same-site" }],
  ["another site without an Origin header", { "sec-fetch-site": "cross-site" }],
])("403: a change that %s sends is refused, whatever the credential", async (_, headers) => {
  const response = await change(headers);
  const body: { error: { code: string } } = await response.json();
  expect([response.status, body.error.code]).toEqual([403, "session.csrf"]);
});

test("201: our own pages and programs may change things", async () => {
  const own = { origin: server.url, "sec-fetch-site": "same-origin" };
  expect((await change(own)).status).toBe(201);
  expect((await change({})).status).toBe(201);
});
