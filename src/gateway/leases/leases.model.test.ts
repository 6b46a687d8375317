// Giver, sources and holders together, over a lossy line in simulated time, with kills, cuts and restarts; money in real Postgres.

import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import fc from "fast-check";
import {
  openWorld,
  REQUESTS,
  SPEND,
  STREAMS,
  TOKENS,
  type Plan,
  type Use,
  type World,
} from "../../../test/fakes/lease-world.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";

const MINUTE_MS = 60_000;
/** Each run is new; more of them were run by hand. */
const RUNS = 24;

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());
const clean = () =>
  database.pool.query("truncate spend_grants, spend_budgets, lease_handovers cascade");
beforeEach(clean);

/** The most in any 60 s, counting each use at its begin or at its end. */
function mostInAMinute(uses: readonly Use[], atMs: (use: Use) => number): bigint {
  const sorted = uses.toSorted((left, right) => atMs(left) - atMs(right));
  let [from, sum, most] = [0, 0n, 0n];
  for (const use of sorted) {
    sum += use.amount;
    for (let first = sorted[from]; first && atMs(first) <= atMs(use) - MINUTE_MS;) {
      sum -= first.amount;
      from += 1;
      first = sorted[from];
    }
    if (sum > most) most = sum;
  }
  return most;
}

function expectWithinLimits({ uses, count, money }: World, limits: Plan["limits"]): void {
  const { [REQUESTS]: requests, [TOKENS]: tokens, [STREAMS]: streams, [SPEND]: spend } = limits;
  if (requests !== undefined)
    expect(mostInAMinute(uses.requests, ({ fromMs }) => fromMs)).toBeLessThanOrEqual(requests);
  if (tokens !== undefined) {
    expect(mostInAMinute(uses.tokens, ({ fromMs }) => fromMs)).toBeLessThanOrEqual(tokens);
    expect(mostInAMinute(uses.tokens, ({ toMs }) => toMs)).toBeLessThanOrEqual(tokens);
  }
  if (streams !== undefined) expect(BigInt(count.streamsMost)).toBeLessThanOrEqual(streams);
  if (spend !== undefined) expect(money.most).toBeLessThanOrEqual(spend);
}

const WHAT = ["kill", "stop", "cut", "mend", "killGiver", "stopGiver"] as const;
interface Event {
  readonly atMs: number;
  readonly what: (typeof WHAT)[number];
  readonly who: number;
}

async function happen(world: World, { what, who }: Event): Promise<void> {
  const machine = world.machines[who % world.machines.length];
  if (machine === undefined) return;
  if (what === "cut" || what === "mend") machine.isCut = what === "cut";
  else if (what === "kill" || what === "stop") {
    world[what](machine);
    world.timers.after(500 + who * 700, () => machine.process ?? world.start(machine));
  } else {
    await world[what]();
    await world.advance(who * 400);
    await world.openGiver();
  }
}

async function run(plan: Plan, events: readonly Event[], lengthMs: number): Promise<World> {
  const world = openWorld(database, plan);
  await world.openGiver();
  for (const machine of world.machines) world.start(machine);
  const beats = Array.from({ length: Math.ceil(lengthMs / 3_000) }, (_, at) => at * 3_000);
  const steps = [
    ...events.map((event) => ({ atMs: event.atMs, run: () => happen(world, event) })),
    ...(plan.limits[SPEND] === undefined
      ? []
      : beats.map((atMs) => ({ atMs, run: () => world.post(false) }))),
  ].toSorted((left, right) => left.atMs - right.atMs);
  for (const step of steps) {
    await world.advance(Math.max(0, step.atMs - world.clock.monotonicMs()));
    await step.run();
  }
  await world.advance(Math.max(0, lengthMs - world.clock.monotonicMs()));
  return world;
}

const eventsUpTo = (lengthMs: number) =>
  fc.array(
    fc.record({
      atMs: fc.integer({ min: 0, max: lengthMs }),
      what: fc.constantFrom(...WHAT),
      who: fc.nat({ max: 5 }),
    }),
    { maxLength: 12 },
  );

const lineAndLoad = {
  seed: fc.integer({ min: 1, max: 2 ** 31 }),
  gateways: fc.integer({ min: 1, max: 4 }),
  lossPct: fc.constantFrom(0, 0, 3, 20),
  delayMaxMs: fc.constantFrom(0, 5, 100, 900),
};
const limit = (max: number) => fc.integer({ min: 1, max }).map(BigInt);

test("whatever dies, is cut off or comes back: no limit is exceeded in any 60 s, nor are streams", async () => {
  const lengthMs = 200_000;
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        ...lineAndLoad,
        requestsPerSecond: fc.constantFrom(0.5, 2, 6),
        durationMaxMs: fc.constantFrom(200, 5_000, 40_000),
        limits: fc.record({
          [REQUESTS]: limit(200),
          [TOKENS]: limit(6_000),
          [STREAMS]: limit(20),
        }),
      }),
      eventsUpTo(lengthMs - 20_000),
      async (plan, events) => {
        await clean();
        expectWithinLimits(await run(plan, events, lengthMs), plan.limits);
      },
    ),
    { numRuns: RUNS },
  );
}, 300_000);

test("… nor is a budget; and when all is over nothing of it is stranded", async () => {
  const lengthMs = 60_000;
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        ...lineAndLoad,
        requestsPerSecond: fc.constantFrom(0.5, 2),
        durationMaxMs: fc.constantFrom(200, 5_000),
        limits: fc.record({ [SPEND]: limit(100_000) }),
      }),
      eventsUpTo(lengthMs - 10_000),
      async (plan, events) => {
        await clean();
        const world = await run(plan, events, lengthMs);
        world.rest();
        Object.assign(world.line, { lossPct: 0, delayMaxMs: 0 });
        for (const machine of world.machines) machine.isCut = false;
        await world.advance(10_000);
        for (const machine of world.machines) world.stop(machine);
        await world.advance(10_000);
        await world.post(true);
        expectWithinLimits(world, plan.limits);
        const { rows } = await database.pool.query(
          "select sum(settled_pico) as settled, sum(granted_pico) as granted from spend_budgets",
        );
        const [sums] = rows;
        expect([BigInt(sums?.settled ?? 0), BigInt(sums?.granted ?? 0)]).toEqual([
          world.money.used,
          0n,
        ]);
      },
    ),
    { numRuns: Math.ceil(RUNS / 3) },
  );
}, 300_000);

const CALM = { seed: 5, lossPct: 0, delayMaxMs: 4, durationMaxMs: 400 };

test("one gateway alone under ample limits: everything is granted, nearly nothing waits for the giver", async () => {
  const limits = { [REQUESTS]: 100_000n, [TOKENS]: 10_000_000n, [STREAMS]: 1_000n };
  const world = await run({ ...CALM, gateways: 1, requestsPerSecond: 40, limits }, [], 90_000);
  expect(world.count.granted).toBe(world.count.asked);
  expect(world.count.asked).toBeGreaterThan(3_000);
}, 60_000);

test("two busy gateways get at least nine tenths of a limit, minute after minute", async () => {
  const limits = { [REQUESTS]: 120n };
  const world = await run({ ...CALM, gateways: 2, requestsPerSecond: 4, limits }, [], 300_000);
  expectWithinLimits(world, limits);
  expect(world.count.granted).toBeGreaterThanOrEqual(5 * 108);
  expect(world.count.unreachable).toBe(0);
}, 60_000);
