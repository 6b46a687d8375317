import { expect, test } from "bun:test";
import { tokenOf, type TestGateway } from "../fakes/gateway.ts";
import { closeAfterEach, gateway, upstream } from "../fakes/stage.ts";
import { answers, type FakeUpstream } from "../fakes/upstream.ts";
import { openWire, requestText } from "../fakes/wire.ts";

closeAfterEach();

const CHAT = "/v1/chat/completions";
const MESSAGES = '"messages":[{"role":"user","content":"x"}]';
const chat = (more: string) => `{"model":"small",${MESSAGES}${more}}`;
const MB = 1024 * 1024;

async function stage(): Promise<{ gate: TestGateway; up: FakeUpstream }> {
  const up = await upstream(answers());
  return { gate: gateway([up]), up };
}

/** What a client library reads from a refusal; the message must be a sentence, the id must be there. */
async function told(response: Response) {
  const { error } = (await response.json()) as { error: Record<string, unknown> };
  expect(error["message"]).toMatch(/^\S.{8,}$/);
  expect(typeof error["type"]).toBe("string");
  expect(response.headers.get("x-request-id")).toMatch(/^req_/);
  expect(response.headers.get("content-type")).toBe("application/json");
  return {
    status: response.status,
    fault: response.headers.get("x-intertie-fault"),
    code: error["code"],
    param: error["param"],
  };
}

/** No upstream was asked, nothing was written that could be billed, nothing reserved. */
function expectUntouched({ gate, up }: { gate: TestGateway; up: FakeUpstream }): void {
  expect(up.heard).toEqual([]);
  expect(gate.records).toEqual([]);
  expect(gate.leases.settled).toEqual([]);
  expect(gate.load.own()).toEqual({});
}

/** The first eight steps of the way down. */
const DEEP = "metadata[0][0][0][0][0][0][0]";
const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;

test.each<[string, string, string, string | null]>([
  ["nothing", "", "request.json", null],
  ["no JSON", "model=small", "request.json", null],
  ["half a JSON text", chat("").slice(0, -1), "request.json", null],
  ["an array", `[${chat("")}]`, "request.json", null],
  ["two objects", chat("") + chat(""), "request.json", null],
  ["64-deep JSON", chat(`,"metadata":${deep(64)}`), "request.json_depth", DEEP],
  ["10,000-deep JSON", chat(`,"metadata":${deep(10_000)}`), "request.json_depth", DEEP],
  ["a key twice", chat(',"model":"small"'), "request.json_duplicate_key", "model"],
  ["a key twice, once escaped", chat(',"mod\\u0065l":"x"'), "request.json_duplicate_key", "model"],
  ["__proto__", chat(',"__proto__":{"admin":true}'), "request.json_prototype", "__proto__"],
  [
    "__proto__ inside",
    '{"model":"small","messages":[{"role":"user","__proto__":1}]}',
    "request.json_prototype",
    "messages[0].__proto__",
  ],
  ["negative max_tokens", chat(',"max_tokens":-1'), "request.invalid", "max_tokens"],
  ["fractional max_tokens", chat(',"max_tokens":1.5'), "request.invalid", "max_tokens"],
  ["max_tokens of 0", chat(',"max_tokens":0'), "request.invalid", "max_tokens"],
  ["huge max_tokens", chat(',"max_tokens":1e18'), "request.invalid", "max_tokens"],
  ["max_tokens beyond any number", chat(',"max_tokens":1e999'), "request.invalid", "max_tokens"],
  ["max_tokens in words", chat(',"max_tokens":"12"'), "request.invalid", "max_tokens"],
  [
    "negative max_completion_tokens",
    chat(',"max_completion_tokens":-5'),
    "request.invalid",
    "max_completion_tokens",
  ],
  [
    "huge max_completion_tokens beside a small max_tokens",
    chat(',"max_tokens":5,"max_completion_tokens":3000000000'),
    "request.invalid",
    "max_completion_tokens",
  ],
  ["n of 0", chat(',"n":0'), "request.invalid", "n"],
  ["huge n", chat(',"n":1000000'), "request.invalid", "n"],
  ["fractional n", chat(',"n":1.5'), "request.invalid", "n"],
  ["a stream that is neither", chat(',"stream":"yes"'), "request.invalid", "stream"],
  [
    "stream_options that are none",
    chat(',"stream":true,"stream_options":1'),
    "request.invalid",
    "stream_options",
  ],
  [
    "include_usage in words",
    chat(',"stream":true,"stream_options":{"include_usage":"no"}'),
    "request.invalid",
    "stream_options.include_usage",
  ],
  ["no model", `{${MESSAGES}}`, "request.invalid", "model"],
  ["a model that is no name", `{"model":7,${MESSAGES}}`, "request.invalid", "model"],
  [
    "a name of 1,000 letters",
    `{"model":"${"m".repeat(1000)}",${MESSAGES}}`,
    "request.invalid",
    "model",
  ],
  ["no messages", '{"model":"small"}', "request.invalid", "messages"],
  ["messages that are a text", '{"model":"small","messages":"x"}', "request.invalid", "messages"],
])("400: %s", async (_, body, fault, param) => {
  const at = await stage();
  const refused = await told(await at.gate.post(CHAT, body));
  expect(refused).toEqual({ status: 400, fault, code: fault, param });
  expectUntouched(at);
});

test("400: bytes that are no UTF-8", async () => {
  const at = await stage();
  const body = Buffer.from(chat("").replace('"x"', '"\u00ff"'), "latin1");
  expect(await told(await at.gate.post(CHAT, body))).toMatchObject({
    status: 400,
    fault: "request.json",
  });
  expectUntouched(at);
});

test("400: max_tokens beyond what the model can write names the field and the bound", async () => {
  const up = await upstream(answers());
  const gate = gateway([up], { model: { outputTokensMax: 4096 } });
  const response = await gate.chat({ max_completion_tokens: 5000 });
  expect(await response.clone().text()).toContain("4096");
  expect(await told(response)).toMatchObject({ status: 400, param: "max_completion_tokens" });
  expectUntouched({ gate, up });
});

test.each<[string, string]>([
  ["/v1/completions", '{"model":"small","prompt":{"a":1}}'],
  ["/v1/embeddings", '{"model":"small"}'],
])("400: %s without its subject", async (path, body) => {
  const at = await stage();
  const field = path === "/v1/embeddings" ? "input" : "prompt";
  expect(await told(await at.gate.post(path, body))).toMatchObject({ status: 400, param: field });
  expectUntouched(at);
});

test.each<[string, string, number, string, string]>([
  ["an unknown model", "nobody", 404, "model.unknown", "model_not_found"],
  ["a model without a price", "unpriced", 403, "model.unpriced", "model.unpriced"],
  ["a model without an engine", "nowhere", 503, "model.no_deployment", "model.no_deployment"],
])("%s", async (_, model, status, fault, code) => {
  const at = await stage();
  const refused = await told(await at.gate.chat({ model }));
  expect(refused).toMatchObject({ status, fault, code });
  expectUntouched(at);
});

test("404: a model's page with a broken escape", async () => {
  const at = await stage();
  const headers = { authorization: `Bearer ${tokenOf("live")}` };
  const response = await fetch(`${at.gate.url}/v1/models/%E0%A4%A`, { headers });
  expect(await told(response)).toMatchObject({ status: 404, fault: "model.unknown" });
});

const token = tokenOf("live");
const bent = `${token.slice(0, 50)}${token[50] === "a" ? "b" : "a"}${token.slice(51)}`;
const bearer = `authorization: Bearer ${token}`;

test.each<[string, readonly string[], number, string]>([
  ["no key", [], 401, "key.missing"],
  ["another scheme", ["authorization: Basic YTpi"], 401, "key.missing"],
  ["a key with one wrong character", [`authorization: Bearer ${bent}`], 401, "key.malformed"],
  ["a key cut short", [`authorization: Bearer ${token.slice(0, -1)}`], 401, "key.malformed"],
  ["somebody else's key", [`x-api-key: ${tokenOf("live", 9)}`], 401, "key.unknown"],
  ["an admin key", [`x-api-key: ${tokenOf("admin", 2)}`], 403, "key.not_inference"],
  ["two headers, the same key", [bearer, `x-api-key: ${token}`], 400, "key.ambiguous"],
  ["two authorization headers", [bearer, bearer], 400, "key.ambiguous"],
  ["two x-api-key headers", [`x-api-key: ${token}`, "x-api-key: a"], 400, "key.ambiguous"],
  ["x-api-key and api-key", [`x-api-key: ${token}`, `api-key: ${token}`], 400, "key.ambiguous"],
])("credentials: %s", async (_, headers, status, fault) => {
  const at = await stage();
  const wire = openWire(at.gate.server.port, requestText(CHAT, headers, chat("")));
  const text = await wire.until('"code"');
  expect(text).toStartWith(`HTTP/1.1 ${status} `);
  expect(text.toLowerCase()).toContain(`x-intertie-fault: ${fault}`);
  expect(text).not.toContain(token);
  wire.socket.destroy();
  expectUntouched(at);
});

test("413: a body of 50 MB, its length told: refused before it is read", async () => {
  const at = await stage();
  const head = requestText(CHAT, [bearer, `content-length: ${50 * MB}`]);
  const wire = openWire(at.gate.server.port, head);
  expect(await wire.until('"code"')).toContain("request.too_large");
  wire.socket.destroy();
  const whole = at.gate.post(CHAT, new Uint8Array(50 * MB).fill(0x20));
  expect(await told(await whole)).toMatchObject({ status: 413, fault: "request.too_large" });
  expectUntouched(at);
});

test("413: a body of 50 MB, its length not told: refused when the bound is passed", async () => {
  const at = await stage();
  const piece = new Uint8Array(MB).fill(0x20);
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      sent += 1;
      if (sent > 50) controller.close();
      else controller.enqueue(piece);
    },
  });
  expect(await told(await at.gate.post(CHAT, body))).toMatchObject({
    status: 413,
    fault: "request.too_large",
  });
  expectUntouched(at);
});

test.each<[string, string, string]>([
  ["a header of 100 KB", requestText(CHAT, [`x-a: ${"a".repeat(100_000)}`], chat("")), "431"],
  [
    "300 headers",
    requestText(
      CHAT,
      Array.from({ length: 300 }, (_, index) => `x-${index}: a`),
      chat(""),
    ),
    "431",
  ],
  [
    "two lengths that differ",
    requestText(CHAT, ["content-length: 1", "content-length: 2"], "{}"),
    "400",
  ],
  [
    "a length beside chunks",
    requestText(CHAT, ["content-length: 2", "transfer-encoding: chunked"], "2\r\n{}\r\n0\r\n\r\n"),
    "400",
  ],
  ["a negative length", requestText(CHAT, ["content-length: -1"]), "400"],
  [
    "a chunk that is none",
    requestText(CHAT, [bearer, "transfer-encoding: chunked"], "zz\r\n{}\r\n"),
    "400",
  ],
  ["white space before a colon", requestText(CHAT, ["x-a : b"], "{}"), "400"],
  ["no host", `POST ${CHAT} HTTP/1.1\r\ncontent-length: 0\r\n\r\n`, "400"],
  ["bare line feeds", `POST ${CHAT} HTTP/1.1\nhost: x\n\n`, "505"],
])("on the wire: %s is refused and the connection closed", async (_, bytes, status) => {
  const at = await stage();
  const wire = openWire(at.gate.server.port, bytes);
  await wire.closed;
  expect(wire.text()).toStartWith(`HTTP/1.1 ${status} `);
  expectUntouched(at);
});

test.each<[string, string, string, string]>([
  ["HTTP/1.0", CHAT, "1.0", "200"],
  ["an absolute form", `http://elsewhere.example${CHAT}`, "1.1", "200"],
  ["a query", `${CHAT}?api-version=2024-10-21`, "1.1", "200"],
  ["dots in the path", `/v1/models/..${CHAT.slice(3)}`, "1.1", "200"],
  ["a doubled slash", `//v1/chat/completions`, "1.1", "404"],
  ["a trailing slash", `${CHAT}/`, "1.1", "404"],
  ["an escaped slash", `/v1/chat%2fcompletions`, "1.1", "404"],
])("on the wire: %s goes where its path says, or nowhere", async (_, path, version, status) => {
  const at = await stage();
  const text = requestText(path, [bearer], chat(""), version);
  const wire = openWire(at.gate.server.port, text);
  expect(await wire.until("}")).toStartWith(`HTTP/1.1 ${status} `);
  expect(at.up.heard.map((heard) => heard.path)).toEqual(status === "200" ? [CHAT] : []);
  wire.socket.destroy();
});

test("what a caller sends beside its body never reaches the upstream", async () => {
  const at = await stage();
  const headers = [
    bearer,
    "x-request-id: mine",
    "x-forwarded-for: 1.2.3.4",
    "openai-organization: org-1",
    "cookie: a=b",
    "te: trailers",
    "connection: keep-alive, x-secret",
    "x-secret: 1",
  ];
  const wire = openWire(at.gate.server.port, requestText(CHAT, headers, chat("")));
  await wire.until("chatcmpl-1");
  wire.socket.destroy();
  const heard = at.up.heard[0]?.headers ?? {};
  const ours = new Set(
    "accept accept-encoding authorization connection content-length content-type host user-agent x-request-id".split(
      " ",
    ),
  );
  expect(Object.keys(heard).filter((name) => !ours.has(name))).toEqual([]);
  expect(heard["authorization"]).toBe("Bearer upstream-secret");
  expect(heard["x-request-id"]).toMatch(/^req_/);
});
