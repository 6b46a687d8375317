import { expect, test } from "bun:test";
import OpenAI from "openai";
import type { ChatCompletionCreateParamsNonStreaming } from "openai/resources/chat/completions";
import { keyOf, tokenOf } from "../fakes/gateway.ts";
import { closeAfterEach, gateway, upstream } from "../fakes/stage.ts";
import {
  answers,
  answerText,
  DONE,
  eventText,
  FINISH_EVENT,
  refuses,
  ROLE_EVENT,
  USAGE,
  usageText,
  type Play,
} from "../fakes/upstream.ts";

closeAfterEach();

const messages = [{ role: "user" as const, content: "x" }];

async function stage(play: Play, options: Parameters<typeof gateway>[1] = {}) {
  const up = await upstream(play);
  const gate = gateway([up], options);
  const client = (apiKey = tokenOf("live")) =>
    new OpenAI({ apiKey, baseURL: `${gate.url}/v1`, maxRetries: 0 });
  return { up, gate, client: client(), clientWith: client };
}

const sends =
  (text: string): Play =>
  async (reply) => {
    reply.head();
    await reply.chunk(text);
    reply.end();
  };

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of stream) all.push(each);
  return all;
}

test("models: the list holds what can be called; one by its name, with a slash in it too", async () => {
  const { client } = await stage(answers(), { models: ["maker/large"] });
  const { data } = await client.models.list();
  expect(data.map((model) => model.id)).toEqual(["small", "maker/large"]);
  expect(await client.models.retrieve("maker/large")).toEqual({
    id: "maker/large",
    object: "model",
    created: 1_764_000_000,
    owned_by: "someone",
  });
  expect(await client.models.retrieve("nowhere").catch(String)).toContain("404");
});

test("tools, structured output, n, logprobs and unknown fields pass byte for byte, both ways", async () => {
  const answer = answerText({
    choices: [0, 1].map((index) => ({
      index,
      finish_reason: "tool_calls",
      logprobs: { content: [{ token: "é", logprob: -0.5, bytes: [195, 169], top_logprobs: [] }] },
      message: {
        role: "assistant",
        content: null,
        tool_calls: [
          { id: "call_1", type: "function", function: { name: "f", arguments: '{"a":1.0}' } },
        ],
      },
    })),
    usage: USAGE,
    vendor_field: { kept: true },
  });
  const { client, up } = await stage(answers(answer));
  const asked: ChatCompletionCreateParamsNonStreaming & { readonly vendor_wish: unknown } = {
    model: "small",
    messages: [{ role: "user", content: [{ type: "text", text: "é \u2028 😀" }] }],
    n: 2,
    logprobs: true,
    top_logprobs: 3,
    seed: 7,
    temperature: 0.1,
    tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }],
    tool_choice: "required",
    response_format: {
      type: "json_schema",
      json_schema: { name: "s", strict: true, schema: { type: "object", properties: {} } },
    },
    vendor_wish: [1, { deep: null }],
  };
  const { _request_id, ...got } = await client.chat.completions.create(asked);
  expect(JSON.stringify(got)).toBe(answer);
  expect(_request_id).toMatch(/^req_/);
  expect(up.heard[0]?.body).toBe(JSON.stringify({ ...asked, model: "real-name" }));
});

test("streams: words and tool calls come through; usage is there only for whoever asked", async () => {
  const call = (part: object) =>
    `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { tool_calls: [{ index: 0, ...part }] }, finish_reason: null }] })}\n\n`;
  const talk =
    ROLE_EVENT +
    eventText("He") +
    eventText("llo") +
    call({ id: "call_1", type: "function", function: { name: "f", arguments: "" } }) +
    call({ function: { arguments: '{"a"' } }) +
    call({ function: { arguments: ":1}" } }) +
    FINISH_EVENT;
  const { client, gate, up } = await stage(sends(talk + usageText() + DONE));
  const plain = await collect(
    await client.chat.completions.create({ model: "small", messages, stream: true }),
  );
  expect(plain.length).toBe(7);
  expect(plain.every((chunk) => chunk.choices.length === 1 && !chunk.usage)).toBe(true);
  const options = { include_usage: true };
  const told = await collect(
    await client.chat.completions.create({
      model: "small",
      messages,
      stream: true,
      stream_options: options,
    }),
  );
  expect(told.length).toBe(8);
  expect(told.at(-1)).toMatchObject({ choices: [], usage: USAGE });
  expect(up.heard.map((heard) => JSON.parse(heard.body).stream_options)).toEqual([
    options,
    options,
  ]);

  const final = await client.chat.completions.stream({ model: "small", messages }).finalMessage();
  expect(final.content).toBe("Hello");
  expect(final.tool_calls?.[0]).toMatchObject({ function: { name: "f", arguments: '{"a":1}' } });
  expect(gate.facts().map((fact) => fact.status)).toEqual(["ok", "ok", "ok"]);
});

test("completions and embeddings", async () => {
  const { client, up } = await stage((reply, heard) =>
    answers(
      heard.path.endsWith("embeddings")
        ? '{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.25,-1]}],"model":"real-name","usage":{"prompt_tokens":4,"total_tokens":4}}'
        : '{"object":"text_completion","choices":[{"index":0,"text":"done","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
    )(reply, heard),
  );
  const embedded = await client.embeddings.create({
    model: "small",
    input: ["a"],
    encoding_format: "float",
  });
  expect(embedded.data[0]?.embedding).toEqual([0.25, -1]);
  const completed = await client.completions.create({ model: "small", prompt: ["a", "b"], n: 2 });
  expect(completed.choices[0]?.text).toBe("done");
  expect(up.heard.map((heard) => heard.path)).toEqual(["/v1/embeddings", "/v1/completions"]);
});

const caught = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof OpenAI.APIError)) throw new Error(`no API error: ${String(error)}`);
  return error;
};

const LIMITED = { requestsPerMinute: 1, tokensPerMinute: null, concurrentStreams: null };
const refusedLease = {
  reserve: () =>
    Promise.resolve({
      ok: false as const,
      resource: `requests:key:${keyOf().id}` as const,
      retryAfterMs: 4_200,
      unreachable: false,
    }),
  settle: () => {},
  remaining: () => 0n,
};

test("refusals are the error classes that its users catch, with code, param and request id", async () => {
  const { client, clientWith, gate } = await stage(answers(), {
    keys: [keyOf("live", 1, { limits: LIMITED })],
  });
  const ask = (from: OpenAI, more: object = {}) =>
    caught(from.chat.completions.create({ model: "small", messages, ...more }));
  const wrong = await ask(clientWith(tokenOf("live", 9)));
  expect(wrong).toBeInstanceOf(OpenAI.AuthenticationError);
  expect(wrong).toMatchObject({ status: 401, code: "invalid_api_key" });
  const missing = await ask(client, { model: "nobody" });
  expect(missing).toBeInstanceOf(OpenAI.NotFoundError);
  expect(missing).toMatchObject({ code: "model_not_found", param: "model" });
  const bad = await ask(client, { max_tokens: -1 });
  expect(bad).toBeInstanceOf(OpenAI.BadRequestError);
  expect(bad).toMatchObject({ code: "request.invalid", param: "max_tokens" });
  expect(bad.requestID).toMatch(/^req_/);
  expect(gate.records).toEqual([]);
});

test("429: a limit is a RateLimitError that says when to come back", async () => {
  const { client, up } = await stage(answers(), {
    keys: [keyOf("live", 1, { limits: LIMITED })],
    deps: { leases: refusedLease },
  });
  const limited = await caught(client.chat.completions.create({ model: "small", messages }));
  expect(limited).toBeInstanceOf(OpenAI.RateLimitError);
  expect(limited).toMatchObject({ code: "rate_limit_exceeded", type: "requests" });
  expect(limited.headers?.get("retry-after")).toBe("5");
  expect(up.heard).toEqual([]);
});

test("an upstream's own 400 is a BadRequestError; its 500 an InternalServerError of ours", async () => {
  const { client, up } = await stage(refuses(400));
  const ask = () => caught(client.chat.completions.create({ model: "small", messages }));
  expect(await ask()).toBeInstanceOf(OpenAI.BadRequestError);
  up.play = refuses(500);
  const failed = await ask();
  expect(failed).toBeInstanceOf(OpenAI.InternalServerError);
  expect(failed).toMatchObject({ status: 502, code: "upstream.refused" });
});

test("a stream that breaks is an error, not a short answer", async () => {
  const { client } = await stage(async (reply) => {
    reply.head();
    await reply.chunk(ROLE_EVENT + eventText("He"));
    reply.cut();
  });
  const stream = await client.chat.completions.create({ model: "small", messages, stream: true });
  const broken = await caught(collect(stream));
  expect(broken.code).toBe("upstream.cut");
});
