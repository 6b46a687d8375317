import { expect, test } from "bun:test";
import { Fault } from "../kit/fault.ts";
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
  DONE,
  eventText,
  FINISH_EVENT,
  openFakeUpstream,
  refuses,
  ROLE_EVENT,
  silent,
  streams,
  usageText,
} from "../../test/fakes/upstream.ts";

closeAfterEach();

const REPORTED = [
  ["input_tokens", 12n, "reported"],
  ["output_tokens", 3n, "reported"],
];
const WORDS = ["one", " two", " three"];
const talk = ROLE_EVENT + WORDS.map(eventText).join("") + FINISH_EVENT;

test("an answer passes byte for byte, under the engine's name for the model and our credential", async () => {
  const up = await upstream(answers());
  const gate = gateway([up]);
  const response = await gate.chat({ tools: [{ odd: 1.0 }], unknown: "kept" });
  expect(await response.text()).toBe(answerText());
  expect(response.headers.get("x-request-id")).toMatch(/^req_/);
  expect(up.heard[0]?.path).toBe("/v1/chat/completions");
  expect(up.heard[0]?.headers["authorization"]).toBe("Bearer upstream-secret");
  expect(up.heard[0]?.body).toBe(
    '{"model":"real-name","messages":[{"role":"user","content":"Say something"}],"tools":[{"odd":1}],"unknown":"kept"}',
  );
  expect(amounts(gate)).toEqual(REPORTED);
  expect(gate.facts()[0]).toMatchObject({
    status: "ok",
    httpStatus: 200,
    upstreamRequestId: "up-1",
    keyRef: 11,
    engineRef: 20,
    callerJurisdiction: "DE",
    zoneJurisdiction: "FR",
  });
});

test("the intent is on disk before dispatch, the settlement before the answer", async () => {
  const order: string[] = [];
  const up = await upstream((reply, heard) => {
    order.push("upstream");
    return answers()(reply, heard);
  });
  const journal = {
    append: async (record: { type: string }) => {
      await Bun.sleep(5);
      order.push(record.type);
    },
    appendLazy: () => {},
    healthy: true,
  };
  const gate = gateway([up], { deps: { journal } });
  await gate.chat();
  order.push("answered");
  expect(order).toEqual(["intent", "upstream", "settle", "answered"]);
});

test("a stream passes whole; its usage is learned without the caller seeing it", async () => {
  const up = await upstream(streams(WORDS));
  const gate = gateway([up]);
  const response = await gate.chat({ stream: true });
  expect(await response.text()).toBe(talk + DONE);
  expect(up.heard[0]?.body).toContain('"stream_options":{"include_usage":true}');
  expect(amounts(gate)).toEqual(REPORTED);
});

test("a caller who asks for usage gets it", async () => {
  const up = await upstream(streams(WORDS));
  const gate = gateway([up]);
  const response = await gate.chat({ stream: true, stream_options: { include_usage: true } });
  expect(await response.text()).toBe(talk + usageText() + DONE);
});

test("[DONE] waits for the settlement", async () => {
  const up = await upstream(streams(WORDS));
  let write: (() => void) | undefined;
  const journal = {
    append: (record: { type: string }) =>
      record.type === "intent"
        ? Promise.resolve()
        : new Promise<void>((resolve) => {
            write = resolve;
          }),
    appendLazy: () => {},
    healthy: true,
  };
  const gate = gateway([up], { deps: { journal } });
  const response = await gate.chat({ stream: true });
  let text = "";
  const whole = readText(response, (soFar) => (text = soFar));
  await until(() => write !== undefined && text === talk);
  write?.();
  expect(await whole).toBe(talk + DONE);
});

test("a journal that cannot write: no stream ends as if it had been recorded", async () => {
  const up = await upstream(streams(WORDS));
  const journal = {
    append: async (record: { type: string }) => {
      if (record.type === "settle") throw new Error("disk full");
    },
    appendLazy: () => {},
    healthy: false,
  };
  const gate = gateway([up], { deps: { journal } });
  const text = await (await gate.chat({ stream: true })).text();
  expect(text).not.toContain("[DONE]");
  expect(text).toContain('"error"');
});

test("a journal that cannot write: nothing is dispatched", async () => {
  const up = await upstream(answers());
  const journal = {
    append: () => Promise.reject(new Error("disk full")),
    appendLazy: () => {},
    healthy: false,
  };
  const gate = gateway([up], { deps: { journal } });
  expect((await gate.chat()).status).toBe(503);
  expect(up.heard).toEqual([]);
  expect(gate.load.own()).toEqual({});
});

test("503: a full journal refuses with a code of its own, and nothing is dispatched", async () => {
  const up = await upstream(answers());
  const full = new Fault("journal.full", { message: "full", retryAfterSeconds: 5 });
  const journal = { append: () => Promise.reject(full), appendLazy: () => {}, healthy: true };
  const response = await gateway([up], { deps: { journal } }).chat();
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "5"]);
  expect(await response.json()).toMatchObject({ error: { code: "journal.full" } });
  expect(up.heard).toEqual([]);
});

test("a dead first target: the next one answers, both attempts are facts", async () => {
  const dead = await openFakeUpstream(silent);
  dead.close();
  const up = await upstream(answers());
  const gate = gateway([dead, up]);
  const response = await gate.chat();
  expect(response.status).toBe(200);
  expect(response.headers.get("x-intertie-attempts")).toBe("2");
  expect(
    gate
      .facts()
      .map((fact) => [fact.attempt, fact.attemptKind, fact.status, fact.quantities.length]),
  ).toEqual([
    [1, "first", "refused_upstream", 0],
    [2, "fallback", "ok", 2],
  ]);
});

test.each([429, 500, 503])("an upstream that answers %d: the next one is tried", async (status) => {
  const busy = await upstream(refuses(status, { "retry-after": "7" }));
  const up = await upstream(answers());
  const gate = gateway([busy, up]);
  expect((await gate.chat()).status).toBe(200);
  expect([busy.heard.length, up.heard.length]).toEqual([1, 1]);
});

test("at most three targets are tried; the last refusal's retry-after is told", async () => {
  const busy = await Promise.all(
    [1, 2, 3, 4].map(() => upstream(refuses(429, { "retry-after": "7" }))),
  );
  const gate = gateway(busy);
  const response = await gate.chat();
  expect(response.headers.get("retry-after")).toBe("7");
  expect(await code(response)).toBe("upstream.refused");
  expect(busy.map((fake) => fake.heard.length)).toEqual([1, 1, 1, 0]);
  expect(gate.load.own()).toEqual({});
});

test("a slow header: the next target is tried", async () => {
  const slow = await upstream(silent);
  const up = await upstream(answers());
  const gate = gateway([slow, up], { headTimeoutMs: 50 });
  expect((await gate.chat()).status).toBe(200);
});

test("a slow header and no other target: 504", async () => {
  const gate = gateway([await upstream(silent)], { headTimeoutMs: 50 });
  expect(await code(await gate.chat())).toBe("upstream.timeout");
});

test("an upstream's 400 goes to the caller as it is; nothing is billed", async () => {
  const gate = gateway([await upstream(refuses(400))]);
  const response = await gate.chat({ stream: true });
  expect([response.status, await response.text()]).toEqual([400, '{"error":{"message":"no"}}']);
  expect(gate.facts()[0]).toMatchObject({ status: "refused_upstream", quantities: [] });
});

test("an upstream that refuses our credential: 502, not the caller's 401", async () => {
  const gate = gateway([await upstream(refuses(401))]);
  const response = await gate.chat();
  expect([response.status, await code(response)]).toEqual([502, "upstream.credential"]);
});

test("requests that come at the same moment spread over equal engines", async () => {
  const ups = await Promise.all([1, 2, 3, 4].map(() => upstream(answers())));
  const journal = {
    append: () => Bun.sleep(20),
    appendLazy: () => {},
    healthy: true,
  };
  const gate = gateway(ups, { deps: { journal } });
  await Promise.all(Array.from({ length: 12 }, () => gate.chat()));
  expect(ups.map((up) => up.heard.length)).toEqual([3, 3, 3, 3]);
  expect(gate.load.own()).toEqual({});
});
