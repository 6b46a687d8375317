import { expect, test } from "bun:test";
import { manualClock, seededDice } from "../../kit/clock.ts";
import { refuse } from "../../kit/fault.ts";
import { asId } from "../../kit/id.ts";
import { openLog } from "../../kit/log.ts";
import { openProber, type ProberDeps } from "./prober.ts";
import type { CheckedEngine, EngineAnswer } from "./types.ts";

const engine = (name: string): CheckedEngine => ({
  id: asId(`engine_${name}`),
  organisationId: asId("org_1"),
  baseUrl: "http://127.0.0.1:1/v1",
  allowPrivateAddress: true,
  credentialSealed: null,
});
const UP: EngineAnswer = {
  judged: { ok: true, detail: "answers, 1 model", models: [] },
  latencyMs: 1,
};
const DOWN: EngineAnswer = {
  judged: refuse("upstream.refused", "answers 503"),
  latencyMs: 1,
};

/** A prober that waits between rounds until the test says `next`. */
function stage(deps: Pick<ProberDeps, "engines" | "check">) {
  const lines: string[] = [];
  const pauses: number[] = [];
  let wake = () => {};
  let paused = Promise.withResolvers<void>();
  const clock = manualClock();
  const prober = openProber({
    ...deps,
    clock,
    dice: seededDice(1),
    log: openLog({
      level: "info",
      role: "worker",
      nowMs: clock.nowMs,
      write: (line) => void lines.push(String(JSON.parse(line).event)),
    }),
    pause: (ms, signal) => {
      pauses.push(ms);
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
      paused.resolve();
      return promise;
    },
  });
  const roundDone = () => paused.promise;
  const next = () => {
    paused = Promise.withResolvers<void>();
    wake();
    return roundDone();
  };
  return { prober, lines, pauses, roundDone, next };
}

test("each round asks every engine that is enabled then, and tells only of changes", async () => {
  const asked: string[] = [];
  let engines = [engine("a"), engine("b")];
  let answer = UP;
  const { prober, lines, pauses, roundDone, next } = stage({
    engines: async () => engines,
    check: async ({ id }) => {
      asked.push(id);
      return id === "engine_a" ? answer : UP;
    },
  });
  await roundDone();
  expect(asked.splice(0)).toEqual(["engine_a", "engine_b"]);
  expect(lines.splice(0)).toEqual(["health.engine_up", "health.engine_up"]);
  await next();
  expect(lines.splice(0)).toEqual([]);
  answer = DOWN;
  await next();
  expect(lines.splice(0)).toEqual(["health.engine_down"]);
  engines = [engine("b")];
  asked.splice(0);
  await next();
  expect(asked).toEqual(["engine_b"]);
  // What is down so soon after the start is asked again at once.
  expect(pauses[2]).toBe(1_000);
  const usual = pauses.toSpliced(2, 1);
  expect(usual.every((ms) => ms >= 9_000 && ms <= 11_000)).toBe(true);
  expect(new Set(usual).size).toBe(usual.length);
  await prober.close();
});

test("a database that is away, or one probe that throws, ends neither the round nor the loop", async () => {
  let away = true;
  const asked: string[] = [];
  const { prober, lines, roundDone, next } = stage({
    engines: async () => {
      if (away) throw new Error("connection refused");
      return [engine("a"), engine("b")];
    },
    check: async ({ id }) => {
      if (id === "engine_a") throw new Error("cannot write");
      asked.push(id);
      return UP;
    },
  });
  await roundDone();
  expect(lines.splice(0)).toEqual(["health.round_failed"]);
  away = false;
  await next();
  expect(asked).toEqual(["engine_b"]);
  expect(lines.toSorted()).toEqual(["health.engine_up", "health.probe_failed"]);
  await prober.close();
});

test("at most sixteen questions at a time; close waits for those under way and asks no more", async () => {
  let open = 0;
  let most = 0;
  let asked = 0;
  const full = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<EngineAnswer>();
  const { prober } = stage({
    engines: async () => Array.from({ length: 40 }, (_, at) => engine(String(at))),
    check: async () => {
      asked += 1;
      most = Math.max(most, (open += 1));
      if (open === 16) full.resolve();
      const given = await answer.promise;
      open -= 1;
      return given;
    },
  });
  await full.promise;
  const closed = prober.close();
  answer.resolve(UP);
  await closed;
  expect({ most, open, asked }).toEqual({ most: 16, open: 0, asked: 16 });
});
