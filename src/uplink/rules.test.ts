import { expect, test } from "bun:test";
import { isLoopback } from "../kit/loopback.ts";
import fc from "fast-check";
import { openDownStream } from "./down-stream.ts";
import { openOutbox } from "./outbox.state.ts";
import { backoffMs, bearerOf, chooseSegment, judgeControlUrl, judgeCredential } from "./rules.ts";

const key = new Uint8Array(32).fill(1);
const gateway = `gw_${"0".repeat(26)}`;

test("a credential proves one gateway and no other", () => {
  const bearer = bearerOf(key, gateway);
  expect(judgeCredential(key, `Bearer ${bearer}`, gateway)).toBe(gateway);
  const wrong: [string | null, string | null][] = [
    [null, gateway],
    [`Bearer ${bearer}`, null],
    [`Bearer ${bearer}`, `gw_${"1".repeat(26)}`],
    [`Bearer ${bearer} `, gateway],
    [`bearer ${bearer}`, gateway],
    [`Bearer ${bearer.slice(0, -1)}`, gateway],
  ];
  for (const [authorization, name] of wrong)
    expect(() => judgeCredential(key, authorization, name)).toThrow("not the credential");
});

test("control is on loopback or behind https; nothing else, however it is spelt", () => {
  for (const url of [
    "http://127.0.0.1:4110",
    "http://localhost:4110/",
    "http://[::1]:1",
    "http://127.1.2.3",
    "http://2130706433",
    "https://control.example",
  ]) {
    expect(judgeControlUrl(url)).toBe(new URL(url).origin);
    // Only there TLS need not prove a name.
    expect(isLoopback(new URL(judgeControlUrl(url)).hostname)).toBe(
      url !== "https://control.example",
    );
  }
  for (const url of [
    "http://control.example",
    "http://10.0.0.1:4110",
    "http://127.0.0.1.example",
    "http://localhost.example",
    "http://[::2]",
    "ftp://127.0.0.1",
    "control:4110",
    "",
  ])
    expect(() => judgeControlUrl(url)).toThrow("address of control");
});

test("back-off grows from about 50 ms to at most 2 s and never waits for nothing", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (attempt, dice) => {
        const ms = backoffMs(attempt, dice);
        return ms >= 25 && ms <= 2_000 && backoffMs(attempt + 1, dice) >= ms;
      },
    ),
  );
});

test("segments go in order; of those that control has, the newest vouches for all before it", () => {
  const pending = [4, 5, 6, 7].map((sequence) => ({ header: { sequence } }));
  const chosen = (committed: number) => chooseSegment(pending, committed)?.header.sequence;
  expect([0, 3, 4, 6, 7, 99].map(chosen)).toEqual([4, 4, 4, 6, 7, 7]);
  expect(chooseSegment([], 7)).toBeUndefined();
});

const delta = (from: string, sequence: number) => ({
  cell: "local",
  gateway: from,
  epoch: 1,
  sequence,
  expiresInMs: 2_000,
  inFlight: {},
});

test("what waits for a slow reader is the newest of each thing, not a queue", () => {
  const outbox = openOutbox();
  for (let n = 1; n <= 10_000; n += 1) {
    outbox.put({ type: "manifest", manifest: n }, n);
    outbox.put({ type: "heartbeat" }, n);
    outbox.put({ type: "peers", count: n }, n);
    outbox.put({ type: "feed", delta: delta(`gw_${n % 3}`, n) }, n);
    outbox.put({ type: "recall", resources: [`tokens:key:${n % 5}`] }, n);
  }
  expect(outbox.waitingSinceMs()).toBe(1);
  const lines = outbox.take().trimEnd().split("\n");
  expect(lines).toHaveLength(7);
  expect(lines[0]).toBe('{"type":"manifest","manifest":10000}');
  expect(lines.filter((line) => line.includes("recall"))[0]?.match(/tokens/g)).toHaveLength(5);
  expect([outbox.take(), outbox.waitingSinceMs()]).toEqual(["", undefined]);
});

test("a stream hands on at once what is put, knows since when it stalls, and tells when it was let go", async () => {
  let gone = 0;
  const stream = openDownStream(() => void (gone += 1));
  const reader = stream.response.body?.getReader();
  const read = async () => new TextDecoder().decode((await reader?.read())?.value);
  const waiting = read();
  stream.put({ type: "heartbeat" }, 5);
  expect(await waiting).toBe('{"type":"heartbeat"}\n');
  stream.put({ type: "peers", count: 1 }, 10);
  stream.put({ type: "peers", count: 2 }, 20);
  expect(stream.stalledMs(25)).toBe(15);
  expect(await read()).toBe('{"type":"peers","count":2}\n');
  expect(stream.stalledMs(1_000)).toBe(0);
  await reader?.cancel();
  stream.close();
  expect(gone).toBe(1);
});
