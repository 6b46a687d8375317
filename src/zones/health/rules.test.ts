import { expect, test } from "bun:test";
import { asId } from "../../kit/id.ts";
import { engineState, FRESH_MS, judgeAnswer, pauseMs, ROUND_MS } from "./rules.ts";
import type { Probe } from "./types.ts";

const say = (status: number, text = "") => {
  const judged = judgeAnswer(status, text);
  return judged.ok ? `up: ${judged.detail}` : `down: ${judged.code}: ${judged.message}`;
};

test("what an answer to GET /models says of an engine", () => {
  const list = JSON.stringify({ object: "list", data: [{ id: "a" }, { id: "b" }] });
  const answers = {
    [say(200, list)]: "up: answers, 2 models",
    [say(200, '[{"id":"a"}]')]: "up: answers, 1 model",
    [say(200, '{"data":[]}')]: "up: answers, 0 models",
    [say(404, "not here")]: "up: answers, without a model list",
    [say(405)]: "up: answers, without a model list",
    [say(429)]: "up: answers, but asks for fewer requests (429)",
    [say(401, "bad key sk-1")]: "down: upstream.credential: the credential is refused",
    [say(403)]: "down: upstream.credential: the credential is refused",
    [say(500)]: "down: upstream.refused: answers 500",
    [say(503)]: "down: upstream.refused: answers 503",
    [say(400)]: "down: upstream.refused: answers 400",
    [say(204)]: "down: upstream.refused: answers 204",
    [say(301)]: "down: upstream.invalid: answers with a redirect (301)",
  };
  for (const [said, expected] of Object.entries(answers)) expect(said).toBe(expected);
  for (const text of ["", "<html>", "{}", "null", "7", '{"data":{}}', '{"data":[{"id":7}]}', "[1]"])
    expect(say(200, text)).toBe("down: upstream.invalid: answers 200, but not with a model list");
});

test("a model's context is read from where vLLM, OpenRouter and Groq tell it; nonsense is nothing", () => {
  const data = [
    { id: "vllm", owned_by: "meta", max_model_len: 8192 },
    { id: "openrouter", context_length: 4096 },
    { id: "groq", context_window: 1024, max_model_len: null },
    { id: "odd", owned_by: 7, max_model_len: -1, context_length: "much" },
  ];
  const judged = judgeAnswer(200, JSON.stringify({ data }));
  expect(judged.ok && judged.models).toEqual([
    { id: "vllm", ownedBy: "meta", contextTokens: 8192 },
    { id: "openrouter", ownedBy: null, contextTokens: 4096 },
    { id: "groq", ownedBy: null, contextTokens: 1024 },
    { id: "odd", ownedBy: null, contextTokens: null },
  ]);
});

test("up or down only while the probe is fresh", () => {
  const probe = (ok: boolean): Probe => ({
    engineId: asId("engine_1"),
    ok,
    detail: "",
    latencyMs: 1,
    at: new Date(1_000),
  });
  expect(engineState(undefined, 1_000)).toBe("unknown");
  expect(engineState(probe(true), 1_000 + FRESH_MS)).toBe("up");
  expect(engineState(probe(false), 1_000 + FRESH_MS)).toBe("down");
  expect(engineState(probe(true), 1_001 + FRESH_MS)).toBe("unknown");
  expect(engineState(probe(false), 1_001 + FRESH_MS)).toBe("unknown");
});

test("rounds begin ten seconds apart, a tenth more or less, and never without a pause", () => {
  expect(pauseMs(0, 0.5)).toBe(ROUND_MS);
  expect(pauseMs(0, 0)).toBeCloseTo(9_000);
  expect(pauseMs(3_000, 0.999_999)).toBeCloseTo(8_000, 0);
  expect(pauseMs(60_000, 0.5)).toBe(1_000);
});
