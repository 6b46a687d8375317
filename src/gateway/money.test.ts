import { expect, test } from "bun:test";
import { amounts, closeAfterEach, code, gateway, upstream } from "../../test/fakes/stage.ts";
import { answers, answerText, streams, USAGE, usageText, DONE } from "../../test/fakes/upstream.ts";
import { systemClock } from "../kit/clock.ts";
import { asId } from "../kit/id.ts";
import type { SnapshotEngine } from "../snapshot/types.ts";
import { openEgress } from "./upstreams/egress.ts";

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
  const response = await gateway([up]).chat();
  const text = await response.text();
  expect(response.status).toBe(502);
  expect(text).toContain("could not be reached");
  expect(text).not.toMatch(/127\.0\.0\.1|ECONN|refused:/);
});

const engineAt = (baseUrl: string, allowPrivateAddress: boolean): SnapshotEngine => ({
  id: asId("engine_a"),
  ref: 1,
  name: "a",
  kind: "openai",
  baseUrl,
  credentialSealed: null,
  allowPrivateAddress,
  zoneId: asId("zone_a"),
  zoneRef: 1,
  zoneName: "z",
  zoneJurisdiction: "ZZ",
});

test.each([
  ["https://inside.example/v1", "10.0.0.5", false],
  ["https://metadata.example/v1", "169.254.169.254", true],
  ["http://open.example/v1", "93.184.216.34", true],
])("%s at %s is never called", async (baseUrl, address, allowPrivate) => {
  const egress = openEgress(systemClock.nowMs, () => Promise.resolve([address]));
  const outcome = await Promise.resolve(egress.destination(engineAt(baseUrl, allowPrivate))).then(
    () => "called",
    (error: unknown) => Reflect.get(Object(error), "code"),
  );
  expect(outcome).toBe("upstream.forbidden_address");
});
