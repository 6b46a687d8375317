import { expect, test } from "bun:test";
import fc from "fast-check";
import { EVENT_BYTES_MAX, openStreamState } from "./stream.state.ts";
import { countOutput, estimateQuantities, findUsage, toQuantities } from "./usage.rules.ts";

const utf8 = new TextEncoder();
const chunk = (content: string) =>
  `data: {"id":"c","choices":[{"index":0,"delta":{"content":${JSON.stringify(content)}}}]}\n\n`;
const USAGE = {
  prompt_tokens: 10,
  completion_tokens: 5,
  prompt_tokens_details: { cached_tokens: 4 },
};
const usageEvent = `data: {"id":"c","choices":[],"usage":${JSON.stringify(USAGE)}}\n\n`;
const DONE = "data: [DONE]\n\n";
const talk = chunk("hé") + chunk('the word "usage": {"x":1} in a text') + chunk("\u2028 end");

function run(stream: string, cuts: readonly number[], hideUsage: boolean) {
  const bytes = utf8.encode(stream);
  const state = openStreamState(hideUsage);
  const seen: Uint8Array[] = [];
  const last: Uint8Array[] = [];
  const places = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  for (const [index, end] of places.slice(1).entries()) {
    const passed = state.pass(bytes.subarray(places[index] ?? 0, end));
    if (passed === "too_large") throw new Error("unexpected");
    seen.push(passed.bytes.slice());
    if (passed.last) last.push(passed.last.slice());
  }
  const text = (parts: Uint8Array[]) => Buffer.concat(parts).toString("utf8");
  return { state, seen: text(seen), last: text(last) };
}

test("cut at any two byte boundaries, a stream gives the same result", () => {
  const stream = talk + usageEvent + DONE;
  const length = utf8.encode(stream).length;
  fc.assert(
    fc.property(fc.nat(length), fc.nat(length), fc.boolean(), (one, two, hide) => {
      const { state, seen, last } = run(stream, [one, two], hide);
      expect(seen).toBe(hide ? talk : talk + usageEvent);
      expect(last).toBe(DONE);
      expect(state.usage).toEqual(USAGE);
      expect(state.done).toBe(true);
      expect(state.events).toBe(hide ? 3 : 4);
      expect(state.textBytes).toBe(3 + 35 + 7);
    }),
    { numRuns: 2000 },
  );
});

test("a whole chunk passes as the very same bytes", () => {
  const bytes = utf8.encode(chunk("a") + chunk("b"));
  const passed = openStreamState(true).pass(bytes);
  expect(passed !== "too_large" && passed.bytes.buffer === bytes.buffer).toBe(true);
});

test("usage: null on each chunk, as vLLM sends it, hides nothing", () => {
  const stream = 'data: {"choices":[{"delta":{"content":"x"}}],"usage":null}\n\n';
  expect(run(stream + DONE, [], true).seen).toBe(stream);
});

test("usage on a chunk with content is read and the chunk kept", () => {
  const stream = `data: {"choices":[{"delta":{}}],"usage": ${JSON.stringify(USAGE)}}\n\n`;
  const { state, seen } = run(stream + DONE, [], true);
  expect(seen).toBe(stream);
  expect(state.usage).toEqual(USAGE);
});

test("CRLF events pass too", () => {
  const stream = 'data: {"choices":[]}\r\n\r\n';
  expect(run(stream, [5], true).seen).toBe(stream);
});

test("a text that speaks of [DONE] ends nothing", () => {
  const stream = chunk("the last line is data: [DONE] then");
  const { state, seen } = run(stream + DONE, [], true);
  expect(seen).toBe(stream);
  expect(state.events).toBe(1);
  expect(run(stream, [], true).state.done).toBe(false);
});

test.each(["data:[DONE]\n\n", "data: [DONE]\r\n\r\n"])("%j is an end", (end) => {
  const { state, last } = run(chunk("a") + end, [], true);
  expect(state.done).toBe(true);
  expect(last).toBe(end);
});

test("an error event marks the stream as failed", () => {
  expect(run('data: {"error":{"message":"overloaded"}}\n\n', [], true).state.failed).toBe(true);
  expect(run(chunk('{"error":1}'), [], true).state.failed).toBe(false);
});

test("only events that say something are counted: no role, no end, no comment", () => {
  const role = 'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n';
  const end = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n';
  const tool = 'data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{}"}}]}}]}\n\n';
  const stream = `: ping\n\n${role}${chunk("a")}: ping\n\n${tool}${end}`;
  const { state, seen } = run(stream + DONE, [], true);
  expect(seen).toBe(stream);
  expect(state.events).toBe(2);
  expect(run((role + chunk("a") + end).replaceAll("\n", "\r\n"), [], true).state.events).toBe(1);
});

test.each([
  ['{"choices":[{"delta":{"content":"four"}}]}', 4],
  ['{"choices": [{"delta": {"role": "assistant", "content": "four"}}]}', 4],
  ['{"choices":[{"delta":{"role":"assistant","content":"\\"\\n\\u00e4\\\\"}}]}', 6],
  ['{"choices":[{"delta":{"content":"the key \\"delta\\": {"}}]}', 18],
  ['{"choices":[{"delta":{"content":"delta"}},{"delta":{"reasoning_content":"abc"}}]}', 8],
  [
    '{"choices":[{"delta":{"tool_calls":[{"id":"call_1","function":{"name":"f","arguments":"{}"}}]}}]}',
    2,
  ],
  ['{"choices":[{"text":"four","logprobs":null}]}', 4],
  ['{"choices":[{"delta":{},"finish_reason":"stop"}]}', 0],
])("%s says so many bytes: %d", (event, said) => {
  expect(run(`data: ${event}\n\n`, [], true).state.textBytes).toBe(said);
});

test("events of a token each are counted, events of many are estimated by their text", () => {
  expect(countOutput(3, 13)).toEqual({ tokens: 3, source: "counted" });
  expect(countOutput(3, 120)).toEqual({ tokens: 30, source: "estimated" });
  expect(countOutput(0, 0)).toEqual({ tokens: 0, source: "counted" });
});

test("a stream that ends without [DONE] says so, and what hangs in it", () => {
  const { state } = run(`${chunk("a")}data: {"half`, [], true);
  expect(state.done).toBe(false);
  expect(state.pendingBytes).toBe(12);
});

test("an event beyond the bound is refused", () => {
  const state = openStreamState(true);
  expect(state.pass(new Uint8Array(EVENT_BYTES_MAX + 1).fill(65))).toBe("too_large");
});

test("quantities are disjoint", () => {
  const details = { ...USAGE, completion_tokens_details: { reasoning_tokens: 2 } };
  expect(toQuantities(details)?.map((each) => [each.meter, each.amount])).toEqual([
    ["input_tokens", 6n],
    ["cached_input_tokens", 4n],
    ["output_tokens", 3n],
    ["reasoning_tokens", 2n],
  ]);
});

test.each([
  ["in the output", { completion_tokens: 30, total_tokens: 40 }, 10n, 20n],
  ["beside the output, in the total", { completion_tokens: 10, total_tokens: 40 }, 10n, 20n],
  ["beside the output, no total", { completion_tokens: 10 }, 10n, 20n],
])("reasoning that is counted %s is billed once", (_, told, output, reasoning) => {
  const details = { completion_tokens_details: { reasoning_tokens: 20 } };
  expect(toQuantities({ prompt_tokens: 10, ...told, ...details })).toEqual([
    { meter: "input_tokens", amount: 10n, source: "reported" },
    { meter: "output_tokens", amount: output, source: "reported" },
    { meter: "reasoning_tokens", amount: reasoning, source: "reported" },
  ]);
});

test("sound has meters of its own", () => {
  const usage = {
    prompt_tokens: 10,
    prompt_tokens_details: { cached_tokens: 4, audio_tokens: 5 },
    completion_tokens: 9,
    completion_tokens_details: { audio_tokens: 7 },
  };
  expect(toQuantities(usage)?.map(({ meter, amount }) => [meter, amount])).toEqual([
    ["input_tokens", 1n],
    ["cached_input_tokens", 4n],
    ["audio_input_tokens", 5n],
    ["output_tokens", 2n],
    ["audio_output_tokens", 7n],
  ]);
});

test.each([
  [{ prompt_tokens: -1, completion_tokens: 5 }],
  [{ prompt_tokens: 1.5, completion_tokens: 5 }],
  [{ prompt_tokens: 1, completion_tokens: 1e12 }],
  [{ prompt_tokens: 1, prompt_tokens_details: { cached_tokens: 2 } }],
  [{ prompt_tokens: "7" }],
  [null],
  ["x"],
])("%j is not believed", (usage) => {
  expect(toQuantities(usage)).toBeUndefined();
});

test("usage is found in a body, not in a text that speaks of it", () => {
  const body = {
    choices: [{ message: { content: 'say "usage": {"prompt_tokens": 1}' } }],
    usage: USAGE,
    id: "x",
  };
  expect(findUsage(utf8.encode(JSON.stringify(body)))).toEqual(USAGE);
  expect(findUsage(utf8.encode(JSON.stringify({ ...body, usage: undefined })))).toBeUndefined();
  expect(findUsage(utf8.encode('{"usage": {"a": 1'))).toBeUndefined();
});

test("an estimate names its sources", () => {
  expect(estimateQuantities(9, 0)).toEqual([
    { meter: "input_tokens", amount: 3n, source: "estimated" },
  ]);
  expect(estimateQuantities(9, 2)[1]).toEqual({
    meter: "output_tokens",
    amount: 2n,
    source: "counted",
  });
});
