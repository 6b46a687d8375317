import { afterAll, beforeAll, expect, test } from "bun:test";
import { createClient } from "./client.gen.ts";
import { Failure } from "./transport.ts";

const seen: { method: string; path: string; headers: Headers; body: unknown }[] = [];
let reply: () => Response = () => new Response(null, { status: 204 });
let control: ReturnType<typeof Bun.serve>;

beforeAll(() => {
  control = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url);
      const body = request.body === null ? undefined : await request.json();
      seen.push({
        method: request.method,
        path: pathname + search,
        headers: request.headers,
        body,
      });
      return reply();
    },
  });
});
afterAll(() => control.stop(true));

const open = (more: object = {}) => createClient({ url: `${control.url.origin}/`, ...more });
const page = () => Response.json({ items: [], next: null });

async function failureOf(asked: Promise<unknown>): Promise<Failure> {
  const error = await asked.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (error instanceof Failure) return error;
  throw new Error(`no Failure but ${String(error)}`);
}

test("what is sent: path and query escaped, what is undefined left out, the key as bearer", async () => {
  reply = page;
  await open({ adminKey: "it_admin_x" }).listRequests({
    model: "a b&c",
    keyId: undefined,
    limit: 5,
  });
  reply = () => new Response(null, { status: 204 });
  await open().revokeKey("key/../x?y");
  const [list, revoke] = seen.splice(0);
  expect(list?.path).toBe("/api/v1/requests?model=a+b%26c&limit=5");
  expect(list?.headers.get("authorization")).toBe("Bearer it_admin_x");
  expect(revoke).toMatchObject({ method: "DELETE", path: "/api/v1/keys/key%2F..%2Fx%3Fy" });
  expect(revoke?.headers.has("authorization")).toBe(false);
});

test("the CSRF token goes with changes, not with reads, and is asked each time", async () => {
  let token = "one";
  const client = open({ csrf: () => token });
  reply = page;
  await client.listKeys();
  reply = () => new Response(null, { status: 204 });
  await client.removeSession();
  token = "two";
  await client.removeSession();
  expect(seen.splice(0).map(({ headers }) => headers.get("x-intertie-csrf"))).toEqual([
    null,
    "one",
    "two",
  ]);
});

test("a refusal is a Failure with all that control said", async () => {
  const error = {
    code: "entity.exists",
    message: "m",
    field: "name",
    hint: "h",
    requestId: "req_1",
  };
  reply = () => Response.json({ error }, { status: 409 });
  expect(await failureOf(open().createProject({ name: "a" }))).toMatchObject({
    status: 409,
    ...error,
  });
});

test.each([
  ["a proxy's page", () => new Response("<h1>Bad gateway", { status: 502 }), "http.502"],
  ["no JSON", () => new Response("hello"), "control.answer"],
  ["an array", () => Response.json([]), "control.answer"],
  ["another version's answer", () => Response.json({ items: {}, next: null }), "control.answer"],
  ["a part that is missing", () => Response.json({ items: [] }), "control.answer"],
] as const)("%s is a Failure, never half an answer", async (_, answer, code) => {
  reply = answer;
  expect((await failureOf(open().listKeys())).code).toBe(code);
});

test("nobody there, or nobody in time: status 0 and what to do", async () => {
  const nobody = createClient({ url: "http://127.0.0.1:1" });
  expect(await failureOf(nobody.listKeys())).toMatchObject({
    status: 0,
    code: "control.unreachable",
  });
  const { promise, resolve } = Promise.withResolvers<Response>();
  const silent = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => promise });
  const client = createClient({ url: silent.url.origin, timeoutMs: 20 });
  expect(await failureOf(client.listKeys())).toMatchObject({ status: 0, code: "control.timeout" });
  resolve(new Response(""));
  await silent.stop(true);
});

test("a caller's own abort stays an abort", async () => {
  const controller = new AbortController();
  controller.abort();
  const asked = open().listKeys({}, { signal: controller.signal });
  await expect(asked).rejects.toMatchObject({ name: "AbortError" });
});

test("a stream comes as it is, a refused one is a Failure", async () => {
  const chat = { model: "m", messages: [{ role: "user", content: "hi" }] };
  reply = () => new Response("data: 1\n\n", { headers: { "content-type": "text/event-stream" } });
  expect(await (await open().chatPlayground(chat)).text()).toBe("data: 1\n\n");
  reply = () => Response.json({ error: { code: "permission.denied" } }, { status: 403 });
  expect((await failureOf(open().chatPlayground(chat))).status).toBe(403);
});
