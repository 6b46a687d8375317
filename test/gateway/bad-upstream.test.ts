import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { until } from "../fakes/gateway.ts";
import { amounts, closeAfterEach, code, gateway, upstream } from "../fakes/stage.ts";
import {
  answers,
  answerText,
  DONE,
  eventText,
  streams,
  usageText,
  type Play,
  type Reply,
} from "../fakes/upstream.ts";

closeAfterEach();

const MB = 1024 * 1024;
const JSON_TYPE = { "content-type": "application/json" };
const ESTIMATED = [
  ["input_tokens", expect.any(BigInt), "estimated"],
  ["output_tokens", expect.any(BigInt), "estimated"],
];
const COUNTED = [
  ["input_tokens", expect.any(BigInt), "estimated"],
  ["output_tokens", 2n, "counted"],
];

/** A body of bytes under a length of its own. */
function bytes(reply: Reply, body: Uint8Array, headers: Readonly<Record<string, string>>): void {
  const lines = Object.entries({ ...headers, "content-length": String(body.length) });
  const head = lines.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  reply.socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n`);
  reply.socket.write(body);
}

test.each<[string, Play, string]>([
  ["nothing", (reply) => reply.whole(200, ""), "upstream.invalid"],
  ["no content type", (reply) => reply.whole(200, answerText(), {}), "upstream.invalid"],
  ["a text", (reply) => reply.whole(200, '"fine"'), "upstream.invalid"],
  ["an event stream unasked", streams(["a"]), "upstream.invalid"],
  ["an error after all", answers('{"error":{"message":"overloaded"}}'), "upstream.refused"],
  ["204", (reply) => reply.whole(204, ""), "upstream.invalid"],
  [
    "a page that says 404",
    (reply) => reply.whole(404, "<html>", { "content-type": "text/html" }),
    "upstream.refused",
  ],
  [
    "a redirect that keeps the method",
    (reply) => reply.whole(307, "", { location: "http://169.254.169.254/latest" }),
    "upstream.invalid",
  ],
  [
    "10 GB, so it says",
    (reply) => reply.head(200, { ...JSON_TYPE, "content-length": String(10 * 1024 * MB) }),
    "upstream.too_large",
  ],
  ["garbage", (reply) => void reply.socket.end("SSH-2.0-OpenSSH\r\n"), "upstream.unreachable"],
])("an upstream that answers %s: nothing passed on, nothing billed", async (_, play, fault) => {
  const up = await upstream(play);
  const gate = gateway([up]);
  const response = await gate.chat();
  expect([response.status, await code(response)]).toEqual([502, fault]);
  expect(up.heard.length).toBe(1);
  expect(gate.facts().flatMap((fact) => fact.quantities)).toEqual([]);
  expect(gate.facts().map((fact) => fact.status)).not.toContain("ok");
  expect(gate.load.own()).toEqual({});
});

test("a stream asked for and JSON given: 502, nothing billed", async () => {
  const gate = gateway([await upstream(answers())]);
  expect(await code(await gate.chat({ stream: true }))).toBe("upstream.invalid");
  expect(gate.facts().flatMap((fact) => fact.quantities)).toEqual([]);
});

const UNBELIEVABLE: [string, object][] = [
  ["negative", { prompt_tokens: -5, completion_tokens: 3 }],
  ["negative output", { prompt_tokens: 5, completion_tokens: -3 }],
  ["fractions", { prompt_tokens: 1.5, completion_tokens: 3 }],
  ["texts", { prompt_tokens: "5", completion_tokens: "3" }],
  ["2^60", { prompt_tokens: 2 ** 60, completion_tokens: 3 }],
  ["more cached than there is", { prompt_tokens: 5, prompt_tokens_details: { cached_tokens: 9 } }],
];

test.each(UNBELIEVABLE)("usage of %s is not believed: estimated instead", async (_, usage) => {
  const gate = gateway([await upstream(answers(answerText({ usage })))]);
  expect((await gate.chat()).status).toBe(200);
  expect(amounts(gate)).toEqual(ESTIMATED);
});

test.each(UNBELIEVABLE)(
  "streamed usage of %s is not believed: counted instead",
  async (_, usage) => {
    const gate = gateway([await upstream(streams(["a", "b"], usageText(usage) + DONE))]);
    expect(await (await gate.chat({ stream: true })).text()).toEndWith(DONE);
    expect(amounts(gate)).toEqual(COUNTED);
  },
);

test("an event of 50 MB is cut off at its bound, and never held whole", async () => {
  let sent = 0;
  const up = await upstream(async (reply) => {
    reply.head();
    await reply.chunk(eventText("a") + eventText("b"));
    await reply.chunk('data: {"choices":[{"delta":{"content":"');
    while (sent < 50 * MB && (await reply.chunk("x".repeat(MB)))) sent += MB;
  });
  const gate = gateway([up]);
  const text = await (await gate.chat({ stream: true })).text();
  expect(text).toStartWith(eventText("a") + eventText("b"));
  expect(text).toContain('"code":"upstream.too_large"');
  expect(text.length).toBeLessThan(10_000);
  expect(amounts(gate)).toEqual(COUNTED);
  expect(gate.facts()[0]?.status).toBe("cut");
  expect(sent).toBeLessThan(30 * MB);
});

test("gzip that nobody asked for is unpacked, and passed on as what it is", async () => {
  const body = gzipSync(answerText());
  const gate = gateway([
    await upstream((reply) => bytes(reply, body, { ...JSON_TYPE, "content-encoding": "gzip" })),
  ]);
  const response = await gate.chat();
  expect(response.headers.get("content-encoding")).toBeNull();
  expect(await response.text()).toBe(answerText());
  expect(gate.facts()[0]?.status).toBe("ok");
});

test("a small body that unpacks to a large one is cut off at the bound", async () => {
  const body = gzipSync(new Uint8Array(100 * MB).fill(0x20));
  const gate = gateway(
    [await upstream((reply) => bytes(reply, body, { ...JSON_TYPE, "content-encoding": "gzip" }))],
    { limits: { answerBytesMax: MB } },
  );
  expect(await code(await gate.chat())).toBe("upstream.too_large");
  expect(gate.facts().flatMap((fact) => fact.quantities)).toEqual([]);
});

test("what an upstream sends beside its body does not reach the caller", async () => {
  const gate = gateway([
    await upstream((reply) =>
      reply.whole(200, answerText(), {
        ...JSON_TYPE,
        "set-cookie": "a=b",
        "x-internal": "1",
        "access-control-allow-origin": "*",
      }),
    ),
  ]);
  const response = await gate.chat();
  await response.text();
  const names = [...response.headers.keys()].sort();
  expect(names).toEqual(["content-length", "content-type", "date", "x-request-id"]);
});

test("a connection that the upstream closed while it was idle costs nobody an answer", async () => {
  const up = await upstream((reply) => {
    reply.whole(200, answerText());
    reply.socket.end();
  });
  const gate = gateway([up]);
  for (let call = 0; call < 5; call += 1) expect((await gate.chat()).status).toBe(200);
  await until(() => gate.facts().length === 5);
  expect(gate.facts().every((fact) => fact.status === "ok")).toBe(true);
});

test("streams leave the upstream's connection usable: ten streams, one connection", async () => {
  const up = await upstream(streams(["a"]));
  const gate = gateway([up]);
  for (let call = 0; call < 10; call += 1)
    expect(await (await gate.chat({ stream: true })).text()).toEndWith(DONE);
  expect(up.connections()).toBe(1);
});
