import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../stack.ts";
import { withDatabase } from "./processes.ts";
import { must, openWorld, type Outcome, type World } from "./world.ts";

/** Two gateway processes share every limit here. */
let world: World;

beforeAll(async () => {
  world = await openWorld({ gateways: 2 });
}, 90_000);

afterAll(() => world.close(), 60_000);

const times = <T>(count: number, make: (index: number) => T) =>
  Array.from({ length: count }, (_, index) => make(index));
const passed = (outcomes: readonly Outcome[]) => outcomes.filter(({ status }) => status === 200);
const refused = (outcomes: readonly Outcome[]) => outcomes.filter(({ status }) => status !== 200);

test("requests a minute: of three times as many at once, the limit passes and the rest is told when to come back", async () => {
  const limit = 40;
  const { token } = await world.key({ name: "rpm", limits: { requestsPerMinute: limit } });
  const before = world.upstream.arrived.size;
  const outcomes = await Promise.all(
    times(3 * limit, () => world.ask(token, { input: 10, output: 1, thinkMs: 5 })),
  );
  expect(passed(outcomes).length).toBeLessThanOrEqual(limit);
  expect(passed(outcomes).length).toBeGreaterThanOrEqual(0.9 * limit);
  expect(world.upstream.arrived.size - before).toBe(passed(outcomes).length);
  for (const { status, fault, retryAfterS } of refused(outcomes)) {
    expect([status, fault]).toEqual([429, "limit.requests"]);
    expect(retryAfterS).toBeGreaterThanOrEqual(1);
    expect(retryAfterS).toBeLessThanOrEqual(61);
  }
});

test("streams at a time: never more than the limit are open at the upstream, and everyone has his turn", async () => {
  const limit = 6;
  const { token } = await world.key({ name: "streams", limits: { concurrentStreams: limit } });
  let refusals = 0;
  const caller = (index: number) =>
    eventually(`caller ${index}'s turn`, async () => {
      const outcome = await world.ask(token, {
        input: 5,
        output: 3,
        stream: true,
        thinkMs: 25,
        crowd: "streams",
      });
      if (outcome.status === 200) return outcome;
      refusals += 1;
      expect([outcome.status, outcome.fault]).toEqual([429, "limit.streams"]);
      return undefined;
    });
  const outcomes = await Promise.all(times(5 * limit, caller));
  expect(passed(outcomes)).toHaveLength(5 * limit);
  expect(refusals).toBeGreaterThan(0);
  expect(world.upstream.mostOpen("streams")).toBeLessThanOrEqual(limit);
  expect(world.upstream.mostOpen("streams")).toBeGreaterThanOrEqual(limit - 1);
  expect(world.upstream.open("streams")).toBe(0);
}, 30_000);

test("tokens a minute: what is used never exceeds the limit, what was only reserved comes back", async () => {
  const limit = 6_000;
  const each = 150;
  const { token } = await world.key({ name: "tpm", limits: { tokensPerMinute: limit } });
  const caller = async (): Promise<number> => {
    let used = 0;
    for (;;) {
      const outcome = await world.ask(token, { input: each - 20, output: 20 });
      if (outcome.status === 200) used += each;
      else {
        expect([outcome.status, outcome.fault]).toEqual([429, "limit.tokens"]);
        expect(outcome.retryAfterS).toBeGreaterThanOrEqual(1);
        return used;
      }
    }
  };
  const used = (await Promise.all(times(4, caller))).reduce((sum, mine) => sum + mine, 0);
  expect(used).toBeLessThanOrEqual(limit);
  expect(used).toBeGreaterThanOrEqual(0.8 * limit);
}, 30_000);

/** By plain SQL, so that no code of ours is believed. */
const billedPico = (projectId: string) =>
  withDatabase(world.stack, async (client) => {
    const { rows } = await client.query<{ sum: string }>(
      "select coalesce(sum(amount_pico), 0) as sum from facts where project_ref = (select ref from projects where id = $1)",
      [projectId],
    );
    return BigInt(rows[0]?.sum ?? "0");
  });

test("a monthly spend limit is strict, and raising it lets requests pass within seconds", async () => {
  const { id } = await must<{ id: string }>(world.stack, "POST", "/projects", {
    name: "thrifty",
    monthlySpendLimit: "0.50",
  });
  const { token } = await world.key({ name: "spender", projectId: id });
  // Ten tokens cost one cent: fifty of these requests and not one more.
  const spend = () => world.ask(token, { input: 10, output: 10, thinkMs: 5 });
  const outcomes = await Promise.all(times(120, spend));
  expect(passed(outcomes).length).toBeLessThanOrEqual(50);
  expect(passed(outcomes).length).toBeGreaterThanOrEqual(45);
  for (const { status, fault } of refused(outcomes))
    expect([status, fault]).toEqual([402, "budget.exhausted"]);
  const limitPico = 500_000_000_000n;
  const asked = BigInt(passed(outcomes).length) * 10_000_000_000n;
  expect(
    await eventually("all of it in the ledger", async () => {
      const billed = await billedPico(id);
      return billed >= asked ? billed : undefined;
    }),
  ).toBe(asked);
  expect(asked).toBeLessThanOrEqual(limitPico);

  const raised = await world.stack.cli(
    "projects",
    "change",
    "thrifty",
    "--monthly-spend-limit",
    "1",
  );
  expect(raised.code).toBe(0);
  await eventually(
    "a request to pass again",
    async () => ((await spend()).status === 200 ? true : undefined),
    5_000,
  );
}, 40_000);
