import { expect, test } from "bun:test";
import type {
  LeaseAsk,
  LeaseDeclaration,
  LeaseGive,
  LeaseGrant,
  LeaseMode,
  LeaseResource,
  LeaseSource,
} from "../../billing/budgets/types.ts";
import { openFakeTime } from "../../../test/fakes/time.ts";
import { openLeaseHolder } from "./holder.ts";
import type { LeaseRefusal, Need } from "./types.ts";

const TERM_MS = 90_000;
const REQUESTS: LeaseResource = "requests:key:key_a";
const TOKENS: LeaseResource = "tokens:key:key_a";
const STREAMS: LeaseResource = "streams:key:key_a";
const SPEND: LeaseResource = "spend:project:proj_a:2025-11";

const need = (resource: LeaseResource, amount = 1n, limit = 1_000n): Need => ({
  resource,
  amount,
  limit,
});
const exhausted = (retryAfterMs: number) => ({
  amount: 0n,
  mode: "exhausted" as const,
  retryAfterMs,
});

type Verdict = { amount: bigint; mode: LeaseMode; retryAfterMs: number };

/** A source whose giver answers by `judge`, when `answer()` lets it. */
function stage(
  judge: (ask: LeaseAsk) => Verdict = ({ want }) => ({
    amount: want,
    mode: "ample",
    retryAfterMs: 0,
  }),
) {
  const time = openFakeTime();
  const taken: (readonly LeaseAsk[])[] = [];
  const given: LeaseGive[] = [];
  const held: (() => void)[] = [];
  const state = { connected: true, offlinePpm: 0, isHeld: false, fails: false };
  let declare: () => readonly LeaseDeclaration[] = () => [];
  let recall: (resources: readonly LeaseResource[]) => void = () => {};
  const toGrant = (ask: LeaseAsk): LeaseGrant => ({
    resource: ask.resource,
    termMs: ask.resource.startsWith("spend:") ? 0 : TERM_MS,
    ...judge(ask),
  });
  const source: LeaseSource = {
    take: async (asks) => {
      taken.push(asks);
      if (state.isHeld) await new Promise<void>((resolve) => void held.push(resolve));
      if (state.fails) throw new Error("away");
      return asks.map(toGrant);
    },
    give: (gives) => void given.push(...gives),
    onRecall: (listener) => (recall = listener),
    onSession: (listener) => (declare = listener),
    get connected() {
      return state.connected;
    },
    offlinePpm: () => state.offlinePpm,
  };
  const holder = openLeaseHolder({ source, clock: time.clock, timers: time.timers });
  const refused = async (...needs: Need[]): Promise<LeaseRefusal> => {
    const outcome = await holder.reserve(needs);
    if (outcome === true) throw new Error("it was granted");
    return outcome;
  };
  return {
    ...time,
    holder,
    state,
    taken,
    given,
    refused,
    declare: () => declare(),
    recall: (...resources: LeaseResource[]) => recall(resources),
    answer: () => held.splice(0).forEach((resolve) => resolve()),
  };
}

test("the first request asks, the next ones are admitted without a promise", async () => {
  const { holder, taken, settle } = stage();
  expect(await holder.reserve([need(REQUESTS), need(STREAMS)])).toBe(true);
  await settle();
  expect(holder.reserve([need(REQUESTS), need(STREAMS)])).toBe(true);
  expect(taken[0]?.map(({ resource }) => resource)).toEqual([REQUESTS, STREAMS]);
});

test("a steady state never waits: more is fetched before the slice is used up", async () => {
  const { holder, advance, taken } = stage();
  await holder.reserve([need(TOKENS, 10n, 10n ** 9n)]);
  let waits = 0;
  for (let count = 0; count < 2_000; count += 1) {
    await advance(5);
    if (holder.reserve([need(TOKENS, 10n, 10n ** 9n)]) !== true) waits += 1;
  }
  expect(waits).toBeLessThanOrEqual(1);
  expect(taken.length).toBeLessThan(60);
});

test("a herd of requests asks once", async () => {
  const { holder, state, taken, answer, settle } = stage();
  state.isHeld = true;
  const herd = Array.from({ length: 500 }, () => holder.reserve([need(REQUESTS)]));
  await settle();
  expect(taken).toHaveLength(1);
  expect(taken[0]).toHaveLength(1);
  state.isHeld = false;
  answer();
  expect(await Promise.all(herd)).toEqual(herd.map(() => true));
  expect(taken.length).toBeLessThanOrEqual(2);
});

test("all or nothing: what was granted beside a refusal is given back when it is scarce", async () => {
  const { refused, given } = stage(({ resource, need: amount }) =>
    resource === STREAMS ? exhausted(0) : { amount, mode: "scarce", retryAfterMs: 0 },
  );
  expect(await refused(need(REQUESTS), need(STREAMS))).toMatchObject({
    resource: STREAMS,
    unreachable: false,
  });
  expect(given).toEqual([{ resource: REQUESTS, amount: 1n }]);
});

test("scarce: each request asks for exactly its own, one that fits is not refused with one that does not", async () => {
  let left = 25n;
  const { holder, taken, settle } = stage(({ need: amount }) => {
    if (amount > left) return exhausted(9_000);
    left -= amount;
    return { amount, mode: "scarce", retryAfterMs: 0 };
  });
  await holder.reserve([need(TOKENS, 5n)]);
  const outcomes = await Promise.all(
    [12n, 90n, 8n].map((amount) => holder.reserve([need(TOKENS, amount)])),
  );
  await settle();
  expect(taken[1]?.map((ask) => [ask.need, ask.want])).toEqual([
    [12n, 12n],
    [90n, 90n],
    [8n, 8n],
  ]);
  expect(outcomes.map((outcome) => outcome === true)).toEqual([true, false, true]);
});

test("exhausted: refused at once with the time to come back, and the giver is left alone for a second", async () => {
  const { refused, taken, advance } = stage(() => exhausted(37_000));
  expect((await refused(need(REQUESTS))).retryAfterMs).toBe(37_000);
  for (let count = 0; count < 100; count += 1) await refused(need(REQUESTS));
  expect(taken).toHaveLength(1);
  await advance(900);
  expect((await refused(need(REQUESTS))).retryAfterMs).toBe(36_100);
  await advance(200);
  await refused(need(REQUESTS));
  expect(taken).toHaveLength(2);
});

test("what a request leaves over admits one that waits, before anything is given back", async () => {
  const { holder, given, settle } = stage(({ need: amount }) =>
    amount === 10n
      ? { amount, mode: "scarce", retryAfterMs: 0 }
      : { amount: 0n, mode: "scarce", retryAfterMs: 25 },
  );
  const first = need(TOKENS, 10n);
  await holder.reserve([first]);
  const waits = holder.reserve([need(TOKENS, 6n)]);
  await settle();
  holder.settle(first, 1n);
  expect(await waits).toBe(true);
  expect(given).toEqual([{ resource: TOKENS, amount: 3n }]);
});

test("recall brings idle slices home and keeps what is in use", async () => {
  const { holder, given, recall, taken, settle } = stage(({ need: amount }) => ({
    amount: amount + 50n,
    mode: "ample",
    retryAfterMs: 0,
  }));
  const used = need(STREAMS, 1n);
  await holder.reserve([used]);
  await settle();
  recall(STREAMS, REQUESTS);
  expect(given).toEqual([{ resource: STREAMS, amount: 50n }]);
  holder.settle(used, 0n);
  expect(given.at(-1)).toEqual({ resource: STREAMS, amount: 1n });
  expect(taken.length).toBeLessThanOrEqual(2);
});

test("a window's slice counts 60 s from each use and can then be used again", async () => {
  const { holder, refused, advance } = stage(({ need: amount }) => ({
    amount: amount === 1n ? 4n : 0n,
    mode: "ample",
    retryAfterMs: 0,
  }));
  const once = () => holder.reserve([need(REQUESTS, 1n, 4n)]);
  expect(await once()).toBe(true);
  await advance(30_000);
  expect([once(), once(), once()]).toEqual([true, true, true]);
  expect(await refused(need(REQUESTS, 1n, 4n))).toMatchObject({ unreachable: false });
  await advance(29_900);
  expect((await refused(need(REQUESTS, 1n, 4n))).retryAfterMs).toBeLessThanOrEqual(600);
  await advance(600);
  expect(once()).toBe(true);
  expect(await refused(need(REQUESTS, 1n, 4n))).toMatchObject({ unreachable: false });
});

test("more used than reserved is a debt that the next ask makes up", async () => {
  const { holder, taken, settle } = stage(({ need: amount }) => ({
    amount,
    mode: "scarce",
    retryAfterMs: 0,
  }));
  const first = need(SPEND, 100n);
  await holder.reserve([first]);
  holder.settle(first, 130n);
  await settle();
  expect(taken.at(-1)).toEqual([{ resource: SPEND, need: 30n, want: expect.any(BigInt) }]);
});

test("without the giver slices last two thirds of their term, money until it is used up", async () => {
  const { holder, state, refused, advance, settle } = stage(({ need: amount }) => ({
    amount: amount + 100n,
    mode: "ample",
    retryAfterMs: 0,
  }));
  await holder.reserve([need(STREAMS), need(SPEND, 1n)]);
  await settle();
  state.connected = false;
  state.fails = true;
  await advance((TERM_MS * 2) / 3 - 100);
  expect(holder.reserve([need(STREAMS)])).toBe(true);
  await advance(200);
  expect(await refused(need(STREAMS))).toMatchObject({ unreachable: true });
  expect(holder.reserve([need(SPEND, 40n)])).toBe(true);
  expect(await refused(need(SPEND, 10_000n))).toMatchObject({ unreachable: true });
});

test("cut off, the part that is its own is used and no more, and then declared", async () => {
  const { holder, state, refused, advance, declare } = stage();
  state.connected = false;
  state.fails = true;
  state.offlinePpm = 500_000;
  await advance(3_000);
  const once = () => holder.reserve([need(REQUESTS, 1n, 4n)]);
  expect([once(), once()]).toEqual([true, true]);
  expect(await refused(need(REQUESTS, 1n, 4n))).toMatchObject({ unreachable: true });
  expect(await refused(need(SPEND, 1n))).toMatchObject({ unreachable: true });
  expect(declare()).toEqual([{ resource: REQUESTS, amount: 2n }]);
});

test("a giver that does not answer is waited for two seconds, then nobody waits for it", async () => {
  const { holder, state, advance, settle } = stage();
  state.connected = false;
  state.fails = true;
  let outcome: unknown;
  void Promise.resolve(holder.reserve([need(REQUESTS)])).then((said) => (outcome = said));
  await advance(1_900);
  expect(outcome).toBeUndefined();
  await advance(200);
  expect(outcome).toMatchObject({ resource: REQUESTS, unreachable: true });
  let second: unknown;
  void Promise.resolve(holder.reserve([need(REQUESTS)])).then((said) => (second = said));
  await settle();
  expect(second).toMatchObject({ unreachable: true });
});

test("what the passing of time frees is for those who wait", async () => {
  let free = 2n;
  const { holder, advance } = stage(({ need: amount }) => {
    const granted = free >= amount ? amount : 0n;
    free -= granted;
    return { amount: granted, mode: "scarce", retryAfterMs: 25 };
  });
  const once = () => holder.reserve([need(REQUESTS, 1n, 5n)]);
  await Promise.all([once(), once()]);
  await advance(59_800);
  let outcome: unknown;
  void Promise.resolve(once()).then((said) => (outcome = said));
  await advance(500);
  expect(outcome).toBeUndefined();
  await advance(220);
  expect(outcome).toBe(true);
});

test("what others in the queue have a claim on is not asked for over and over", async () => {
  const { holder, taken, advance } = stage(({ resource, need: amount }) => {
    if (resource === REQUESTS) return { amount: 0n, mode: "scarce", retryAfterMs: 50 };
    return amount === 1n && taken.length < 2
      ? { amount, mode: "scarce", retryAfterMs: 0 }
      : exhausted(5_000);
  });
  // The first has the one stream and waits for something else; the second is refused a stream that it may yet get.
  const first = holder.reserve([need(STREAMS), need(REQUESTS)]);
  await advance(10);
  const second = holder.reserve([need(REQUESTS), need(STREAMS)]);
  await advance(3_000);
  expect(taken.length).toBeLessThan(120);
  const ofStreams = taken.filter((asks) => asks.some(({ resource }) => resource === STREAMS));
  expect(ofStreams.length).toBeLessThan(25);
  expect([await first, await second]).toMatchObject([{ unreachable: true }, { unreachable: true }]);
});

test("undecided is asked again until it is decided", async () => {
  let asked = 0;
  const { holder, advance } = stage(({ need: amount }) =>
    (asked += 1) < 4
      ? { amount: 0n, mode: "scarce", retryAfterMs: 25 }
      : { amount, mode: "scarce", retryAfterMs: 0 },
  );
  const outcome = holder.reserve([need(REQUESTS)]);
  await advance(200);
  expect(await outcome).toBe(true);
  expect(asked).toBe(4);
});

test("what nobody has asked for in five minutes goes home and is forgotten", async () => {
  const { holder, given, advance, declare } = stage(() => ({
    amount: 50n,
    mode: "ample",
    retryAfterMs: 0,
  }));
  const stream = need(STREAMS);
  await holder.reserve([stream, need(SPEND, 20n)]);
  holder.settle(stream, 0n);
  holder.settle(need(SPEND, 20n), 20n);
  await advance(62_000);
  expect(given).toEqual([{ resource: SPEND, amount: 30n }]);
  await advance(240_000);
  expect(given.at(-1)).toEqual({ resource: STREAMS, amount: 50n });
  expect(holder.remaining(STREAMS)).toBeUndefined();
  // What was used up of a budget is told in every later session: the ledger may not have it yet.
  expect(declare()).toEqual([{ resource: SPEND, amount: 20n }]);
});

test("closing gives home what is idle and lets nobody wait", async () => {
  const { holder, state, given, settle } = stage(() => ({
    amount: 50n,
    mode: "ample",
    retryAfterMs: 0,
  }));
  await holder.reserve([need(STREAMS)]);
  await settle();
  state.isHeld = true;
  const waits = holder.reserve([need(TOKENS, 500n)]);
  await holder.close();
  expect(await waits).toMatchObject({ unreachable: true });
  expect(given).toEqual([{ resource: STREAMS, amount: 49n }]);
});

test("a reserve on ample slices costs microseconds", async () => {
  const { holder, settle } = stage(() => ({
    amount: 10n ** 12n,
    mode: "ample",
    retryAfterMs: 0,
  }));
  const needs = [need(REQUESTS), need(STREAMS), need(TOKENS, 100n), need(SPEND, 1_000n)].map(
    (each) => ({ ...each, limit: 10n ** 12n }),
  );
  await holder.reserve(needs);
  await settle();
  const batch = () => {
    const startMs = performance.now();
    for (let round = 0; round < 2_000; round += 1) {
      if (holder.reserve(needs) !== true) return Infinity;
      for (const each of needs) holder.settle(each, each.resource === STREAMS ? 0n : each.amount);
    }
    return (performance.now() - startMs) / 2;
  };
  // The best of some, because other processes take turns on the same cores.
  const eachUs = Math.min(...Array.from({ length: 20 }, batch));
  console.log(`leases: reserve and settle of four needs ${eachUs.toFixed(2)} µs`);
  expect(eachUs).toBeLessThan(20);
});
