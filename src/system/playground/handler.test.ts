import { afterAll, expect, test } from "bun:test";
import type { Principal } from "../../http/types.ts";
import { isFault } from "../../kit/fault.ts";
import { asId } from "../../kit/id.ts";
import { playgroundHandler } from "./handler.ts";

const principal = (permissions: Principal["permissions"]): Principal => ({
  firmId: asId("firm_1"),
  organisationId: asId("org_1"),
  projectId: asId("proj_1"),
  keyId: asId("key_1"),
  role: "developer",
  permissions,
  via: "session",
});
const developer = principal(new Set(["playground.use"]));

const seen: { authorization: string | null; body: Record<string, unknown> }[] = [];
let left = Promise.withResolvers<void>();
/** So often the gateway does not know the key yet. */
let unknownTimes = 0;
const gateway = Bun.serve({
  port: 0,
  hostname: "127.0.0.1",
  fetch: async (request) => {
    const body: Record<string, unknown> = JSON.parse(await request.text());
    seen.push({ authorization: request.headers.get("authorization"), body });
    if (unknownTimes-- > 0)
      return Response.json({}, { status: 401, headers: { "x-intertie-fault": "key.unknown" } });
    if (body["model"] === "absent")
      return Response.json(
        { error: { message: "no such model", code: "model_not_found" } },
        { status: 404 },
      );
    const stream = new ReadableStream({
      start: (controller) => {
        controller.enqueue('data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n');
        if (body["model"] !== "endless") controller.close();
      },
      cancel: () => left.resolve(),
    });
    return new Response(stream, {
      headers: {
        "content-type": "text/event-stream",
        "x-request-id": "req_1",
        "set-cookie": "secret=1",
      },
    });
  },
});
afterAll(() => gateway.stop(true));

const handle = playgroundHandler({
  gatewayAddress: async () => gateway.url.origin,
  mintPlayKey: async () => "it_play_x",
});
const post = (body: string, signal?: AbortSignal) =>
  new Request("http://control/api/v1/playground/chat", {
    method: "POST",
    body,
    ...(signal ? { signal } : {}),
  });
const chat = (model: string) =>
  JSON.stringify({ model, messages: [{ role: "user", content: "hi" }], temperature: 0.5 });

async function faultOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (isFault(error))
      return `${error.status} ${error.code}${error.field ? ` ${error.field}` : ""}`;
    throw error;
  }
  return "none";
}

test("200: streams the gateway's answer, asks it for usage, and shows the browser neither key nor cookies", async () => {
  const answer = await handle(post(chat("sim")), developer);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("x-request-id")).toBe("req_1");
  expect(answer.headers.get("set-cookie")).toBeNull();
  expect(await answer.text()).toContain('"Hi"');
  expect(seen.at(-1)?.authorization).toBe("Bearer it_play_x");
  expect(seen.at(-1)?.body).toMatchObject({
    temperature: 0.5,
    stream: true,
    stream_options: { include_usage: true },
  });
});

test("200: a key that the gateway has not heard of yet is tried again", async () => {
  unknownTimes = 2;
  const answer = await handle(post(chat("sim")), developer);
  expect(answer.status).toBe(200);
  expect(await answer.text()).toContain('"Hi"');
});

test("404: the gateway's refusal passes through as it is", async () => {
  const answer = await handle(post(chat("absent")), developer);
  expect(answer.status).toBe(404);
  expect(await answer.json()).toMatchObject({ error: { code: "model_not_found" } });
});

test("a reader who leaves cancels the gateway's request", async () => {
  left = Promise.withResolvers();
  const answer = await handle(post(chat("endless")), developer);
  const reader = answer.body?.getReader();
  await reader?.read();
  await reader?.cancel();
  await left.promise;
});

test("an aborted request cancels the gateway's request", async () => {
  left = Promise.withResolvers();
  const abort = new AbortController();
  const answer = await handle(post(chat("endless"), abort.signal), developer);
  await answer.body?.getReader().read();
  abort.abort();
  await left.promise;
});

test("refusals: role, JSON, shape, size, no gateway, a gateway that is down", async () => {
  expect(await faultOf(handle(post(chat("sim")), principal(new Set())))).toBe(
    "403 permission.denied",
  );
  expect(await faultOf(handle(post("{"), developer))).toBe("400 request.json");
  expect(await faultOf(handle(post('{"model":"sim","messages":[]}'), developer))).toBe(
    "400 request.invalid messages",
  );
  expect(await faultOf(handle(post(`"${"x".repeat(1_048_577)}"`), developer))).toBe(
    "413 request.too_large",
  );
  const mintPlayKey = async () => "it_play_x";
  const none = playgroundHandler({ gatewayAddress: async () => undefined, mintPlayKey });
  expect(await faultOf(none(post(chat("sim")), developer))).toBe("502 upstream.unreachable");
  const closed = playgroundHandler({
    gatewayAddress: async () => "http://127.0.0.1:1",
    mintPlayKey,
  });
  expect(await faultOf(closed(post(chat("sim")), developer))).toBe("502 upstream.unreachable");
});
