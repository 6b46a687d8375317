import { expect, test } from "bun:test";
import fc from "fast-check";
import { readChat, type ChatEvent } from "./chat.ts";

const wire = [
  'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}',
  'data: {"choices":[{"delta":{"content":"Grüße "}}]}',
  ": a comment",
  'data: {"choices":[{"delta":{"content":"🌍"},"finish_reason":"stop"}]}',
  'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}',
  "data: [DONE]",
].join("\n\n");

async function eventsOf(parts: readonly Uint8Array[]): Promise<ChatEvent[]> {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
  return Array.fromAsync(readChat(body));
}

const expected: ChatEvent[] = [
  { type: "text", text: "Grüße " },
  { type: "text", text: "🌍" },
  { type: "finish", reason: "stop" },
  { type: "usage", inputTokens: 3, outputTokens: 2 },
];

test("the same events however the bytes are cut", async () => {
  const bytes = new TextEncoder().encode(wire);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 20 }), async (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const parts = places.slice(1).map((end, index) => bytes.slice(places[index], end));
      expect(await eventsOf(parts)).toEqual(expected);
    }),
    { numRuns: 50 },
  );
});

test("an error inside the stream is an event", async () => {
  expect(
    await eventsOf([new TextEncoder().encode('data: {"error":{"message":"cut"}}\n\n')]),
  ).toEqual([{ type: "error", message: "cut" }]);
});
