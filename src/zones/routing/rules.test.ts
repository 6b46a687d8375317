import { expect, test } from "bun:test";
import fc from "fast-check";
import { asId } from "../../kit/id.ts";
import { COOL_DOWN_MS, openLoadLedger } from "./load.state.ts";
import { rankEngines } from "./rules.ts";
import type { Candidate, LoadDelta } from "./types.ts";

const engine = (name: string) => asId<"engine">(`engine_${name}`);
const candidate = (name: string, inFlight: number, coolingDown = false): Candidate => ({
  engineId: engine(name),
  inFlight,
  coolingDown,
});
const delta = (more: Partial<LoadDelta>): LoadDelta => ({
  cell: "local",
  gateway: "gw_b",
  epoch: 1,
  sequence: 1,
  expiresInMs: 1000,
  inFlight: { engine_a: 5 },
  ...more,
});

test("least in flight comes first, the one that just failed last", () => {
  expect(
    rankEngines([candidate("a", 0, true), candidate("b", 7), candidate("c", 2)], () => 0),
  ).toEqual([engine("c"), engine("b"), engine("a")]);
});

test("ranking loses and invents no engine", () => {
  const one = fc.record({
    engineId: fc.uuid().map(engine),
    inFlight: fc.nat(9),
    coolingDown: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(one, { maxLength: 20 }),
      fc.double({ min: 0, max: 0.99 }),
      (candidates, toss) => {
        expect([...rankEngines(candidates, () => toss)].sort()).toEqual(
          candidates.map((each) => each.engineId).sort(),
        );
      },
    ),
  );
});

test("ties are broken by the dice", () => {
  const rolls = [0.9, 0.1];
  expect(rankEngines([candidate("a", 1), candidate("b", 1)], () => rolls.shift() ?? 0)).toEqual([
    engine("b"),
    engine("a"),
  ]);
});

test("own counts never go below zero", () => {
  const load = openLoadLedger("local");
  load.end(engine("a"));
  load.begin(engine("a"));
  expect(load.inFlight(engine("a"), 0)).toBe(1);
});

test("peers add up until their term is over", () => {
  const load = openLoadLedger("local");
  load.begin(engine("a"));
  load.absorb(delta({}), 0);
  expect(load.inFlight(engine("a"), 500)).toBe(6);
  expect(load.inFlight(engine("a"), 1000)).toBe(1);
});

test("an old sequence, an old epoch and another cell are ignored", () => {
  const load = openLoadLedger("local");
  load.absorb(delta({ epoch: 2, sequence: 3 }), 0);
  load.absorb(delta({ epoch: 2, sequence: 3, inFlight: { engine_a: 9 } }), 0);
  load.absorb(delta({ epoch: 1, sequence: 9, inFlight: { engine_a: 9 } }), 0);
  load.absorb(delta({ cell: "other", gateway: "gw_c" }), 0);
  expect(load.inFlight(engine("a"), 1)).toBe(5);
});

test("peers are bounded", () => {
  const load = openLoadLedger("local", 2);
  for (const gateway of ["gw_b", "gw_c", "gw_d"]) load.absorb(delta({ gateway }), 0);
  expect(load.inFlight(engine("a"), 1)).toBe(10);
});

test("a failure cools an engine down for a while, a success ends it", () => {
  const load = openLoadLedger("local");
  load.failed(engine("a"), 0);
  expect(load.coolingDown(engine("a"), COOL_DOWN_MS - 1)).toBe(true);
  expect(load.coolingDown(engine("a"), COOL_DOWN_MS)).toBe(false);
  load.failed(engine("a"), 0);
  load.succeeded(engine("a"));
  expect(load.coolingDown(engine("a"), 1)).toBe(false);
});
