// Bodies that are refused, with the field they are refused for, and bodies that are read.

import { expect, test } from "bun:test";
import { readChat, readCompletion, readEmbedding } from "./ask.rules.ts";

const user = { role: "user", content: "hi" };
const chat = { model: "m", messages: [user] };

const refused: readonly [name: string, body: unknown, code: string, field: string | undefined][] = [
  ["an array", [], "request.invalid", undefined],
  ["no model", { messages: [user] }, "request.invalid", "model"],
  ["no messages", { model: "m", messages: [] }, "request.invalid", "messages"],
  [
    "a role nobody has",
    { model: "m", messages: [{ ...user, role: "x" }] },
    "request.invalid",
    "messages[0].role",
  ],
  [
    "no content",
    { model: "m", messages: [{ role: "user" }] },
    "request.invalid",
    "messages[0].content",
  ],
  [
    "a part without text",
    { model: "m", messages: [{ role: "user", content: [{ type: "text" }] }] },
    "request.invalid",
    "messages[0].content[0].text",
  ],
  ["negative max_tokens", { ...chat, max_tokens: -1 }, "request.invalid", "max_tokens"],
  ["half a token", { ...chat, max_tokens: 1.5 }, "request.invalid", "max_tokens"],
  ["a huge bound", { ...chat, max_tokens: 1e300 }, "request.invalid", "max_tokens"],
  [
    "two bounds",
    { ...chat, max_tokens: 1, max_completion_tokens: 2 },
    "request.invalid",
    "max_tokens",
  ],
  ["nine choices", { ...chat, n: 9 }, "request.invalid", "n"],
  ["a hot temperature", { ...chat, temperature: 2.5 }, "request.invalid", "temperature"],
  ["an empty stop", { ...chat, stop: ["a", ""] }, "request.invalid", "stop[1]"],
  [
    "an image",
    { model: "m", messages: [user, { role: "user", content: [{ type: "image_url" }] }] },
    "request.unsupported",
    "messages[1].content[0].type",
  ],
  [
    "a tool's answer",
    { model: "m", messages: [{ role: "tool", content: "1" }] },
    "request.unsupported",
    "messages[0].role",
  ],
  [
    "a tool call",
    { model: "m", messages: [{ role: "assistant", content: "", tool_calls: [{}] }] },
    "request.unsupported",
    "messages[0].tool_calls",
  ],
  ["tools", { ...chat, tools: [{}] }, "request.unsupported", "tools"],
  [
    "a schema",
    { ...chat, response_format: { type: "json_schema" } },
    "request.unsupported",
    "response_format",
  ],
  ["logprobs", { ...chat, logprobs: true }, "request.unsupported", "logprobs"],
  ["a bias", { ...chat, logit_bias: { 1: 2 } }, "request.unsupported", "logit_bias"],
  ["a field nobody knows", { ...chat, constructor: 1 }, "request.unsupported", "constructor"],
];

for (const [name, body, code, field] of refused) {
  test(`refused: ${name}`, () => {
    const { message: _, ...refusal } = { message: "", ...readChat(body) };
    expect(refusal).toEqual({
      ok: false,
      code,
      ...(field === undefined ? {} : { field }),
    } as never);
  });
}

test("fields that ask for nothing, or only name the caller, are let pass", () => {
  const read = readChat({
    ...chat,
    tools: [],
    tool_choice: "none",
    logprobs: false,
    response_format: { type: "text" },
    n: null,
    stop: null,
    user: "u",
    metadata: { a: "b" },
    store: false,
  });
  expect(read).toMatchObject({ ok: true, value: { n: 1, stops: [], outputTokensMax: undefined } });
});

test("a chat is read: parts joined, developer is system, negative seeds wrap to 32 bits", () => {
  const messages = [
    {
      role: "developer",
      content: [
        { type: "text", text: "be " },
        { type: "text", text: "brief" },
      ],
    },
    user,
  ];
  const read = readChat({ model: "m", messages, seed: -1, max_completion_tokens: 7, stop: "x" });
  expect(read).toMatchObject({
    ok: true,
    value: {
      prompts: [
        {
          kind: "chat",
          turns: [
            { role: "system", text: "be brief" },
            { role: "user", text: "hi" },
          ],
        },
      ],
      outputTokensMax: 7,
      outputField: "max_completion_tokens",
      stops: ["x"],
      sampling: { seed: 4_294_967_295 },
    },
  });
});

test("prompts of tokens, echo and suffix are refused by name", () => {
  expect(readCompletion({ model: "m", prompt: [1, 2] })).toMatchObject({ field: "prompt[0]" });
  expect(readCompletion({ model: "m", prompt: "a", echo: true })).toMatchObject({ field: "echo" });
  expect(readCompletion({ model: "m", prompt: ["a", "b"] })).toMatchObject({
    value: { prompts: [{ field: "prompt[0]" }, { field: "prompt[1]" }] },
  });
  expect(readEmbedding({ model: "m", input: [""] })).toMatchObject({ field: "input[0]" });
  expect(readEmbedding({ model: "m", input: "a", dimensions: 4 })).toMatchObject({
    code: "request.unsupported",
    field: "dimensions",
  });
});
