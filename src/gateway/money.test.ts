import { expect, test } from "bun:test";
import { amounts, closeAfterEach, code, gateway, upstream } from "../../test/fakes/stage.ts";
import {
  answers,
  answerText,
  refuses,
  streams,
  USAGE,
  usageText,
  DONE,
} from "../../test/fakes/upstream.ts";
import { silentLog } from "../kit/log.ts";
import type { LeaseHolder } from "./leases/types.ts";

closeAfterEach();

const LIMITED = { monthlySpendLimitPico: 10n ** 15n };

test("a usage of nothing is not believed where something was said", async () => {
  const nothing = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 };
  const up = await upstream(answers(answerText({ usage: nothing })));
  const gate = gateway([up]);
  await (await gate.chat()).text();
  expect(amounts(gate)).toEqual([
    ["input_tokens", expect.any(BigInt), "estimated"],
    ["output_tokens", 2n, "estimated"],
  ]);
});

test("a stream whose usage leaves out the output is billed by what was relayed", async () => {
  const up = await upstream(streams(["a", "b", "c"], usageText({ prompt_tokens: 12 }) + DONE));
  const gate = gateway([up]);
  await (await gate.chat({ stream: true })).text();
  expect(amounts(gate)).toEqual([
    ["input_tokens", 12n, "reported"],
    ["output_tokens", 3n, "counted"],
  ]);
});

test("cached input does not stand in for an output that is left out", async () => {
  const usage = { prompt_tokens: 12, prompt_tokens_details: { cached_tokens: 4 } };
  const gate = gateway([await upstream(answers(answerText({ usage })))]);
  await (await gate.chat()).text();
  expect(amounts(gate)).toEqual([
    ["input_tokens", 8n, "reported"],
    ["cached_input_tokens", 4n, "reported"],
    ["output_tokens", 2n, "estimated"],
  ]);
});

test.each([
  ["chat/completions", { input_tokens: 1n }, "--output"],
  ["completions", { input_tokens: 1n, reasoning_tokens: 1n }, "--output"],
  ["chat/completions", { output_tokens: 1n }, "--input"],
  ["embeddings", { output_tokens: 1n }, "--input"],
])("%s with a price of %p only: refused, with the option to set", async (path, price, option) => {
  const up = await upstream(answers());
  const gate = gateway([up], { picoPerUnit: price });
  const body = { model: "small", messages: [], prompt: "x", input: "x" };
  const response = await gate.post(`/v1/${path}`, JSON.stringify(body));
  expect(response.headers.get("x-intertie-fault")).toBe("model.unpriced");
  expect(await response.text()).toContain(option);
  expect(up.heard).toEqual([]);
});

test("embeddings need no price of an output", async () => {
  const up = await upstream(answers(`{"usage":${JSON.stringify(USAGE)}}`));
  const gate = gateway([up], { picoPerUnit: { input_tokens: 1n } });
  const response = await gate.post("/v1/embeddings", '{"model":"small","input":"x"}');
  expect(response.status).toBe(200);
});

const BY_REQUEST = { input_tokens: 1n, output_tokens: 2n, requests: 1_000n };

test("a price by request: each answered attempt holds one, and it is reserved and settled", async () => {
  const reserved: bigint[] = [];
  const settled: bigint[] = [];
  const leases: LeaseHolder = {
    reserve: (needs) => (reserved.push(...needs.map(({ amount }) => amount)), true),
    settle: (_, used) => void settled.push(used),
    remaining: () => undefined,
  };
  const busy = await upstream(refuses(500));
  const gate = gateway([busy, await upstream(answers())], {
    tenant: LIMITED,
    picoPerUnit: BY_REQUEST,
    deps: { leases },
  });
  const request = await (await gate.chat({ max_tokens: 5 })).text();
  expect(request).toBe(answerText());
  expect(gate.facts().map(({ quantities }) => quantities.map(({ meter }) => meter))).toEqual([
    [],
    ["input_tokens", "output_tokens", "requests"],
  ]);
  expect(gate.facts()[1]?.quantities[2]).toEqual({
    meter: "requests",
    amount: 1n,
    source: "counted",
  });
  const bytes = BigInt(busy.heard[0]?.body.length ?? 0) - BigInt("real-name".length - 5);
  expect(reserved).toEqual([bytes + 10n + 1_000n]);
  expect(settled).toEqual([12n + 6n + 1_000n]);
});

test("a price by request: streams that tell no usage hold one as well", async () => {
  const up = await upstream(streams(["a"], DONE));
  const gate = gateway([up], { picoPerUnit: BY_REQUEST });
  await (await gate.chat({ stream: true })).text();
  expect(amounts(gate)).toEqual([
    ["input_tokens", expect.any(BigInt), "estimated"],
    ["output_tokens", 1n, "counted"],
    ["requests", 1n, "counted"],
  ]);
});

test("a tier that costs more than the price list knows is refused with its field", async () => {
  const up = await upstream(answers());
  const gate = gateway([up]);
  const response = await gate.chat({ service_tier: "priority" });
  expect([response.status, await code(response)]).toEqual([400, "request.unsupported"]);
  expect(up.heard).toHaveLength(0);
  expect((await gate.chat({ service_tier: "default" })).status).toBe(200);
});

test.each([
  ["priority", "priority"],
  ["flex", "flex"],
  ["batch", "batch"],
  ["default", "standard"],
  ["constructor", "standard"],
])("the tier that the upstream says it served, %s, is recorded as %s", async (told, recorded) => {
  const tier = { service_tier: told };
  const whole = gateway([await upstream(answers(answerText({ usage: USAGE, ...tier })))]);
  await (await whole.chat({ service_tier: "auto" })).text();
  const event = `data: ${JSON.stringify({ choices: [], ...tier, usage: USAGE })}\n\n`;
  const streamed = gateway([await upstream(streams(["a"], event + DONE))]);
  await (await streamed.chat({ stream: true })).text();
  const tiers = [whole, streamed].map((gate) => gate.facts()[0]?.servedTier);
  expect<unknown[]>(tiers).toEqual([recorded, recorded]);
});

test("where money is limited and nobody bounds the answer, the upstream is told the bound that was reserved", async () => {
  const up = await upstream(answers());
  const bodies = () => up.heard.map(({ body }): unknown => JSON.parse(body));
  const limited = gateway([up], { tenant: LIMITED });
  await (await limited.chat()).text();
  await (await limited.chat({ max_tokens: 5 })).text();
  await (await gateway([up]).chat()).text();
  expect(bodies().map((body) => Reflect.get(Object(body), "max_completion_tokens"))).toEqual([
    16_384,
    undefined,
    undefined,
  ]);
});

test.each([
  ["chat/completions", { messages: [{ role: "user", content: "x" }] }, "max_completion_tokens"],
  ["completions", { prompt: "x" }, "max_tokens"],
])("%s: a cap of null is replaced, not sent twice", async (path, subject, field) => {
  const up = await upstream(answers());
  const gate = gateway([up], { tenant: LIMITED });
  const body = { model: "small", ...subject, [field]: null, seed: 1 };
  await (await gate.post(`/v1/${path}`, JSON.stringify(body))).text();
  expect(up.heard[0]?.body).toBe(JSON.stringify({ ...body, model: "real-name", [field]: 16_384 }));
});

test("llama.cpp's own cap counts like the others", async () => {
  const up = await upstream(answers());
  const gate = gateway([up], { model: { outputTokensMax: 100 } });
  const response = await gate.chat({ n_predict: 200 });
  expect([response.status, up.heard.length]).toEqual([400, 0]);
  expect((await gate.chat({ n_predict: -1 })).status).toBe(400);
});

test("why an upstream cannot be reached is for the log, not for the caller", async () => {
  const up = await upstream(answers());
  up.close();
  const told: [string, object | undefined][] = [];
  const log = {
    ...silentLog,
    warn: (event: string, more?: object) => void told.push([event, more]),
  };
  const response = await gateway([up], { deps: { log } }).chat();
  const text = await response.text();
  expect(response.status).toBe(502);
  expect(text).toContain('"The upstream engine-0 could not be reached."');
  expect(text).not.toMatch(/127\.0\.0\.1|ECONN/);
  expect(told).toEqual([
    [
      "upstream.failed",
      expect.objectContaining({
        requestId: response.headers.get("x-request-id"),
        detail: expect.stringMatching(/./),
      }),
    ],
  ]);
});
