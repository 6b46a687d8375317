import { expect, test } from "bun:test";
import { until } from "../../test/fakes/gateway.ts";
import {
  amounts,
  closeAfterEach,
  code,
  gateway,
  readText,
  upstream,
} from "../../test/fakes/stage.ts";
import {
  answers,
  answerText,
  cutsAfter,
  DONE,
  endless,
  eventText,
  FINISH_EVENT,
  refuses,
  ROLE_EVENT,
  streams,
  USAGE,
  usageText,
  type Play,
} from "../../test/fakes/upstream.ts";

closeAfterEach();

const REPORTED = [
  ["input_tokens", 12n, "reported"],
  ["output_tokens", 3n, "reported"],
];
const ESTIMATED_INPUT = ["input_tokens", expect.any(BigInt), "estimated"];
const WORDS = ["one", " two", " three"];
const talk = ROLE_EVENT + WORDS.map(eventText).join("") + FINISH_EVENT;

test.each<[string, Play]>([
  ["HTML", (reply) => reply.whole(200, "<html>Login</html>", { "content-type": "text/html" })],
  ["HTML that claims to be JSON", answers("<html>Login</html>")],
  ["half a JSON text", answers('{"id":"x","choices":[')],
  ["a redirect", refuses(302, { location: "http://169.254.169.254/" })],
])("200 or 3xx with %s: 502 upstream.invalid, nothing billed", async (_, play) => {
  const gate = gateway([await upstream(play)]);
  const response = await gate.chat();
  expect([response.status, await code(response)]).toEqual([502, "upstream.invalid"]);
  expect(gate.facts().flatMap((fact) => fact.quantities)).toEqual([]);
});

test("a body that breaks off: 502 upstream.cut", async () => {
  const gate = gateway([
    await upstream(async (reply) => {
      reply.head(200, { "content-type": "application/json" });
      await reply.chunk('{"id":');
      reply.cut();
    }),
  ]);
  expect(await code(await gate.chat())).toBe("upstream.cut");
});

test("a body that stalls after its head: 504, not for ever", async () => {
  const gate = gateway(
    [
      await upstream(async (reply) => {
        reply.head(200, { "content-type": "application/json" });
        await reply.chunk('{"id":');
      }),
    ],
    { limits: { chunkTimeoutMs: 50 } },
  );
  expect(await code(await gate.chat())).toBe("upstream.timeout");
});

test("an endless body: 502 upstream.too_large", async () => {
  const gate = gateway(
    [
      await upstream(async (reply) => {
        reply.head(200, { "content-type": "application/json" });
        while (await reply.chunk(" ".repeat(65_536)));
      }),
    ],
    { limits: { answerBytesMax: 1_000_000 } },
  );
  expect(await code(await gate.chat())).toBe("upstream.too_large");
});

test("a stream cut in the middle: an error event, and what was relayed is billed as counted", async () => {
  const seen = Promise.withResolvers<void>();
  const gate = gateway([await upstream(cutsAfter(WORDS, seen.promise))]);
  const text = await readText(await gate.chat({ stream: true }), (soFar) => {
    if (soFar.includes(" three")) seen.resolve();
  });
  expect(text).toStartWith(WORDS.map(eventText).join(""));
  expect(text).toContain('"code":"upstream.cut"');
  expect(text).not.toContain("[DONE]");
  expect(gate.facts()[0]?.status).toBe("cut");
  expect(amounts(gate)).toEqual([ESTIMATED_INPUT, ["output_tokens", 3n, "counted"]]);
});

test("a caller who leaves pays for all that an event said, not for one token of it", async () => {
  const up = await upstream(async (reply) => {
    reply.head();
    await reply.chunk(eventText("eight by".repeat(100)));
  });
  const gate = gateway([up], { limits: { drainMs: 50 } });
  const abort = new AbortController();
  const response = await gate.chat({ stream: true }, { signal: abort.signal });
  await response.body?.getReader().read();
  abort.abort();
  await until(() => gate.facts().length === 1);
  expect(amounts(gate)).toEqual([ESTIMATED_INPUT, ["output_tokens", 200n, "estimated"]]);
});

test("a stream that falls silent is cut at the deadline", async () => {
  const up = await upstream(async (reply) => {
    reply.head();
    await reply.chunk(eventText("one"));
  });
  const gate = gateway([up], { limits: { chunkTimeoutMs: 50 } });
  const text = await (await gate.chat({ stream: true })).text();
  expect(text).toContain('"code":"upstream.timeout"');
  expect(amounts(gate)).toEqual([ESTIMATED_INPUT, ["output_tokens", 1n, "counted"]]);
});

test("no usage told: content is counted, neither the role nor the end of it", async () => {
  const gate = gateway([await upstream(streams(WORDS, DONE))]);
  await (await gate.chat({ stream: true })).text();
  expect(gate.facts()[0]?.status).toBe("ok");
  expect(amounts(gate)).toEqual([ESTIMATED_INPUT, ["output_tokens", 3n, "counted"]]);
});

test("no usage told on a whole answer: its text is estimated, not free", async () => {
  const gate = gateway([await upstream(answers(answerText({})))]);
  await gate.chat();
  expect(amounts(gate)).toEqual([ESTIMATED_INPUT, ["output_tokens", 2n, "estimated"]]);
});

test.each([
  { prompt_tokens: -5, completion_tokens: 3 },
  { prompt_tokens: 5, completion_tokens: -3 },
  { prompt_tokens: 5.5, completion_tokens: 3 },
  { prompt_tokens: 5, completion_tokens: 1e15 },
])("usage %j is not believed, never billed", async (usage) => {
  const gate = gateway([await upstream(answers(answerText({ usage })))]);
  expect((await gate.chat()).status).toBe(200);
  expect(amounts(gate)).toEqual([ESTIMATED_INPUT, ["output_tokens", 2n, "estimated"]]);
});

test("a 50 MB event is cut off, with little kept in memory", async () => {
  const up = await upstream(async (reply) => {
    reply.head();
    await reply.chunk('data: {"choices":[{"delta":{"content":"');
    let sent = 0;
    while (sent < 50_000_000 && (await reply.chunk("x".repeat(100_000)))) sent += 100_000;
  });
  const gate = gateway([up]);
  const text = await (await gate.chat({ stream: true })).text();
  expect(text).toContain('"code":"upstream.too_large"');
  expect(text.length).toBeLessThan(1_000);
});

test("the caller leaves while the usage is near: it is learned and billed", async () => {
  const left = Promise.withResolvers<void>();
  const up = await upstream(async (reply) => {
    reply.head();
    await reply.chunk(eventText("one"));
    await left.promise;
    await reply.chunk(FINISH_EVENT + usageText());
  });
  const gate = gateway([up]);
  const abort = new AbortController();
  const response = await gate.chat({ stream: true }, { signal: abort.signal });
  await response.body?.getReader().read();
  abort.abort();
  left.resolve();
  await until(() => gate.facts().length === 1);
  expect(gate.facts()[0]).toMatchObject({ status: "caller_left", httpStatus: 0 });
  expect(amounts(gate)).toEqual(REPORTED);
});

test("the caller leaves and the upstream goes on: it is cancelled, what was relayed is billed", async () => {
  let hungUp = false;
  const up = await upstream(async (reply) => {
    void reply.closed.then(() => (hungUp = true));
    reply.head();
    await reply.chunk(eventText("one"));
  });
  const gate = gateway([up], { limits: { drainMs: 50 } });
  const abort = new AbortController();
  const response = await gate.chat({ stream: true }, { signal: abort.signal });
  await response.body?.getReader().read();
  abort.abort();
  await until(() => gate.facts().length === 1 && hungUp);
  expect(amounts(gate)).toEqual([ESTIMATED_INPUT, ["output_tokens", 1n, "counted"]]);
  expect(gate.load.own()).toEqual({});
});

/** Asks, and leaves as soon as the upstream has heard it. */
async function leaveBeforeHead(play: Play, more: object = {}) {
  const up = await upstream(play);
  const gate = gateway([up, up], { limits: { drainMs: 300 } });
  const abort = new AbortController();
  const gone = gate.chat(more, { signal: abort.signal }).catch(() => undefined);
  await until(() => up.heard.length === 1);
  abort.abort();
  await gone;
  // A later connection is answered after the gateway has seen the earlier one close.
  await (await fetch(`${gate.url}/healthz`)).text();
  return { gate, up };
}

test.each([false, true])(
  "the caller leaves, the upstream says nothing (stream: %p): it is cancelled, the question is billed by estimate",
  async (stream) => {
    let hungUp = false;
    const { gate, up } = await leaveBeforeHead(
      (reply) => void reply.closed.then(() => (hungUp = true)),
      { stream },
    );
    await until(() => gate.facts().length === 1 && hungUp);
    expect(gate.facts()[0]).toMatchObject({ status: "caller_left", httpStatus: 0 });
    expect(amounts(gate)).toEqual([ESTIMATED_INPUT]);
    expect(up.heard.length).toBe(1);
    expect(gate.load.own()).toEqual({});
  },
);

test("the caller leaves while a whole answer is near: it is read, and billed by its usage", async () => {
  const left = Promise.withResolvers<void>();
  const play: Play = async (reply, heard) => {
    await left.promise;
    await answers()(reply, heard);
  };
  const { gate } = await leaveBeforeHead(play);
  left.resolve();
  await until(() => gate.facts().length === 1);
  expect(gate.facts()[0]).toMatchObject({ status: "caller_left", httpStatus: 0 });
  expect(amounts(gate)).toEqual(REPORTED);
});

test("the caller leaves and the upstream refuses: nothing is billed, nobody else is asked", async () => {
  const left = Promise.withResolvers<void>();
  const play: Play = async (reply, heard) => {
    await left.promise;
    await refuses(500)(reply, heard);
  };
  const { gate, up } = await leaveBeforeHead(play);
  left.resolve();
  await until(() => gate.facts().length === 1);
  expect(gate.facts()[0]).toMatchObject({ status: "caller_left", quantities: [] });
  expect(up.heard.length).toBe(1);
});

test("a stalled reader holds the upstream back, and is not taken for a silent upstream", async () => {
  let sent = 0;
  const event = eventText("word ".repeat(2_000));
  const up = await upstream(async (reply) => {
    reply.head();
    while (await reply.chunk(event)) {
      sent += event.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
  });
  const gate = gateway([up], { limits: { chunkTimeoutMs: 300 } });
  const response = await gate.chat({ stream: true });
  const reader = response.body?.getReader();
  await reader?.read();
  let before = -1;
  await until(() => {
    const still = sent === before;
    before = sent;
    return still;
  });
  expect(sent).toBeLessThan(40_000_000);
  await Bun.sleep(1_200);
  expect(gate.facts()).toEqual([]);
  await reader?.cancel();
  await until(() => gate.facts().length === 1);
  expect(gate.facts()[0]?.status).toBe("caller_left");
});

test("embeddings and completions go to their own paths", async () => {
  const up = await upstream(
    answers(
      JSON.stringify({ object: "list", data: [], usage: { prompt_tokens: 4, total_tokens: 4 } }),
    ),
  );
  const gate = gateway([up]);
  await gate.post("/v1/embeddings", '{"model":"small","input":"x"}');
  expect(amounts(gate)).toEqual([["input_tokens", 4n, "reported"]]);
  await gate.post("/v1/completions", '{"model":"small","prompt":"x"}');
  expect(up.heard.map((each) => each.path)).toEqual(["/v1/embeddings", "/v1/completions"]);
});

test("usage on the last content chunk is read too", async () => {
  const last = `data: {"choices":[{"index":0,"delta":{"content":"!"}}],"usage":${JSON.stringify(USAGE)}}\n\n`;
  const gate = gateway([await upstream(streams(WORDS, last + DONE))]);
  expect(await (await gate.chat({ stream: true })).text()).toBe(talk + last + DONE);
  expect(amounts(gate)).toEqual(REPORTED);
});

test("endless words to nobody: a stream is billed once, however it ends", async () => {
  const gate = gateway([await upstream(endless())], { limits: { drainMs: 30 } });
  const aborts = Array.from({ length: 20 }, () => new AbortController());
  await Promise.all(
    aborts.map(async (abort) => {
      const response = await gate.chat({ stream: true }, { signal: abort.signal });
      await response.body?.getReader().read();
      abort.abort();
    }),
  );
  await until(() => gate.facts().length >= 20);
  expect(new Set(gate.facts().map((fact) => fact.requestId)).size).toBe(20);
  expect(gate.facts().length).toBe(20);
  expect(gate.server.openStreams()).toBe(0);
});
