import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import type { LeaseResource } from "../billing/budgets/types.ts";
import { seedTenant, type Tenant } from "../billing/tenant.fixture.ts";
import { openTestDatabase, type TestDatabase } from "../db/test-database.ts";
import {
  newGateway,
  openControl,
  scriptedGiver,
  type Control,
  type ControlOptions,
} from "../../test/uplink/control.ts";
import { openGateway, type Gateway, type GatewayOptions } from "../../test/uplink/gateway.ts";
import { openTcpProxy, type Harm } from "../../test/uplink/tcp-proxy.ts";

let database: TestDatabase;
let tenant: Tenant;
const opened: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  database = await openTestDatabase();
  tenant = await seedTenant(database);
});
afterEach(async () => {
  for (const close of opened.splice(0).toReversed()) await close();
});
afterAll(() => database.close());

/** Each part is closed after the test, last first, unless the test did so itself. */
function keep<T extends { close(): Promise<unknown> }>(part: T): T {
  opened.push(() => part.close());
  return part;
}
async function control(options: ControlOptions = {}): Promise<Control> {
  return keep(await openControl(database, options));
}
async function gateway(url: string, options: GatewayOptions = {}): Promise<Gateway> {
  const gate = await openGateway(url, options);
  let stopped: Promise<void> | undefined;
  const stop = (withinMs?: number) => (stopped ??= gate.stop(withinMs));
  opened.push(() => stop(500));
  return { ...gate, stop };
}
async function connected(url: string, options: GatewayOptions = {}): Promise<Gateway> {
  const gate = await gateway(url, options);
  expect(await gate.uplink.opened(5_000)).toBe(true);
  return gate;
}
async function wire(port: number, judge: (request: string, before: number) => Harm) {
  return keep(await openTcpProxy(port, judge));
}

const settle = (gate: Gateway) => gate.journal.append({ type: "settle", fact: tenant.fact() });
const tokens: LeaseResource = "tokens:key:key_1";
const ask = (want: bigint) => ({ resource: tokens, need: 1n, want });

async function received(id: string) {
  const { rows } = await database.pool.query<{ sequence: number; record_count: number }>(
    "select sequence, record_count from segments where gateway = $1 order by sequence",
    [id],
  );
  return rows;
}
const recordsOf = async (id: string) =>
  (await received(id)).reduce((sum, row) => sum + row.record_count, 0);

test("a gateway starts while control is away, and has everything once it is there", async () => {
  const probe = await openControl(database);
  await probe.close();
  const gate = await gateway(probe.url);
  await settle(gate);
  await gate.events.seen("uplink.away");
  expect(await gate.uplink.opened(20)).toBe(false);
  expect(gate.uplink.leases.connected).toBe(false);
  await expect(gate.uplink.leases.take([ask(1n)])).rejects.toThrow("control cannot be asked");
  await control({ port: probe.port });
  expect(await gate.uplink.opened(5_000)).toBe(true);
  await gate.events.seen("snapshot.swapped");
  await gate.shipped();
  expect(await recordsOf(gate.gateway)).toBe(1);
  expect(gate.saved).toEqual([1]);
  expect((await gate.uplink.leases.take([ask(5n)]))[0]?.amount).toBe(5n);
});

test("a revocation's manifest is served within a moment of its publication", async () => {
  const { url, publish } = await control();
  const gate = await gateway(url);
  await gate.events.seen("snapshot.swapped");
  const before = performance.now();
  const sequence = await publish();
  await gate.events.seen("snapshot.swapped", 2);
  expect(gate.snapshot.current()?.sequence).toBe(sequence);
  expect(performance.now() - before).toBeLessThan(2_000);
});

test("control restarts: a new epoch resumes the old one, says what is held, and takes work again", async () => {
  const first = await control();
  const gate = await gateway(first.url);
  gate.uplink.leases.onSession(() => [{ resource: tokens, amount: 9n }]);
  await gate.events.seen("snapshot.swapped");
  await first.close();
  await settle(gate);
  const { giver, said } = scriptedGiver();
  await control({ port: first.port, leases: giver });
  await gate.events.seen("uplink.open", 2);
  await gate.shipped();
  await gate.uplink.leases.take([ask(1n)]);
  expect(said[0]).toBe("open 2 resumes 1 recovered 0");
  expect(said.slice(1).join(" ")).toContain("2/1 1d");
  expect(gate.saved).toEqual([1, 2]);
  expect(await recordsOf(gate.gateway)).toBe(1);
});

test("lost acknowledgements never double a segment, and nothing is lost", async () => {
  const { port } = await control();
  let lost = 0;
  const { url, asked } = await wire(port, (request, before) => {
    if (request !== "POST /uplink/v1/segments" || before % 3 === 2) return "none";
    lost += 1;
    return "lose";
  });
  const gate = await gateway(url);
  for (let n = 0; n < 6; n += 1) {
    await settle(gate);
    await gate.journal.seal();
  }
  await gate.shipped();
  expect(lost).toBeGreaterThanOrEqual(4);
  expect(asked.get("POST /uplink/v1/segments")).toBeGreaterThan(6);
  expect((await received(gate.gateway)).map((row) => [row.sequence, row.record_count])).toEqual(
    [1, 2, 3, 4, 5, 6].map((sequence) => [sequence, 1]),
  );
});

test("after a restart with an acknowledgement lost, the rest is shipped on top of what control has", async () => {
  const { port, url: direct } = await control();
  const id = newGateway();
  const deaf = await wire(port, (request) => (request.endsWith("/segments") ? "lose" : "none"));
  const first = await gateway(deaf.url, { gateway: id });
  for (let n = 0; n < 3; n += 1) {
    await settle(first);
    await first.journal.seal();
  }
  await first.events.seen("uplink.segment_failed", 1);
  await first.stop(300);
  // Control took the first; the other two are only on disk.
  expect((await received(id)).map(({ sequence }) => sequence)).toEqual([1]);
  const again = await gateway(direct, { gateway: id, folder: first.folder });
  await again.shipped();
  expect((await received(id)).map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  expect(again.uplink.status()).toMatchObject({ pendingSegments: 0, laneStopped: false });
});

test("a stream that breaks in the middle of a line is opened again, and the manifest comes whole", async () => {
  const { port } = await control();
  const { url } = await wire(port, (request, before) =>
    request === "GET /uplink/v1/stream" && before < 2 ? "half" : "none",
  );
  const gate = await gateway(url);
  await gate.events.seen("snapshot.swapped");
  expect(gate.events.count("uplink.stream_broke")).toBeGreaterThanOrEqual(2);
  expect(gate.events.count("uplink.manifest_unreadable")).toBe(0);
  expect(gate.events.count("uplink.open")).toBe(1);
});

test("a section that did not come is asked for again; the manifest is not forgotten", async () => {
  const { port } = await control();
  let lost = 0;
  const { url } = await wire(port, (request) =>
    request.startsWith("GET /uplink/v1/sections/") && (lost += 1) <= 7 ? "lose" : "none",
  );
  const gate = await gateway(url);
  await gate.events.seen("snapshot.swapped");
  expect(gate.events.count("snapshot.failed")).toBeGreaterThanOrEqual(1);
  expect(gate.snapshot.current()).toBeDefined();
});

test("a lost answer to a take is fetched again: the giver grants once, the caller gets it once", async () => {
  const { giver, exchanges } = scriptedGiver();
  const { port } = await control({ leases: giver });
  let lose = 0;
  const { url } = await wire(port, (request) => {
    if (request !== "POST /uplink/v1/leases" || lose === 0) return "none";
    lose -= 1;
    return "lose";
  });
  const gate = await connected(url);
  await gate.uplink.leases.take([ask(1n)]);
  lose = 3;
  const [grant] = await gate.uplink.leases.take([ask(7n)]);
  expect(grant?.amount).toBe(7n);
  expect(lose).toBe(0);
  const taken = exchanges.flatMap(({ takes }) => takes.map(({ want }) => want));
  expect(taken).toEqual([1n, 7n]);
  expect(gate.events.count("uplink.open")).toBe(1);
});

test("takes of one moment share one exchange, each gets its own grants; gives of one resource add up", async () => {
  const { giver, exchanges } = scriptedGiver();
  const { url } = await control({ leases: giver });
  const gate = await connected(url);
  await gate.uplink.leases.take([ask(1n)]);
  const before = exchanges.length;
  const grants = await Promise.all(
    Array.from({ length: 40 }, (_, n) => gate.uplink.leases.take([ask(BigInt(n)), ask(100n)])),
  );
  expect(grants.map(([one, two]) => [one?.amount, two?.amount])).toEqual(
    Array.from({ length: 40 }, (_, n) => [BigInt(n), 100n]),
  );
  expect(exchanges.length - before).toBeLessThanOrEqual(2);
  gate.uplink.leases.give([{ resource: tokens, amount: 2n }]);
  gate.uplink.leases.give([{ resource: tokens, amount: 3n }]);
  await gate.uplink.leases.take([ask(1n)]);
  await gate.uplink.leases.take([ask(1n)]);
  const given = exchanges.flatMap(({ gives }) => gives);
  expect(given.reduce((sum, { amount }) => sum + amount, 0n)).toBe(5n);
});

test("recalls reach the listener", async () => {
  const { giver, recall } = scriptedGiver();
  const { url } = await control({ leases: giver });
  const gate = await connected(url);
  const heard = new Promise<readonly LeaseResource[]>((resolve) =>
    gate.uplink.leases.onRecall(resolve),
  );
  await gate.events.seen("snapshot.swapped");
  recall(gate.gateway, [tokens]);
  expect(await heard).toEqual([tokens]);
});

test("a giver that hangs: takes are refused within the time to count as lost, and the next session declares", async () => {
  const { giver, said } = scriptedGiver();
  const hung = Promise.withResolvers<never>();
  let hang = false;
  const slow: typeof giver = {
    ...giver,
    exchange: (exchange) => (hang ? hung.promise : giver.exchange(exchange)),
  };
  const { url } = await control({ leases: slow, terms: { lostMs: 1_000, shareMs: 10_000 } });
  const gate = await connected(url);
  gate.uplink.leases.onSession(() => [{ resource: tokens, amount: 4n }]);
  await gate.uplink.leases.take([ask(1n)]);
  hang = true;
  const before = performance.now();
  await expect(gate.uplink.leases.take([ask(1n)])).rejects.toThrow("control cannot be asked");
  expect(performance.now() - before).toBeLessThan(1_500);
  expect(gate.uplink.leases.connected).toBe(false);
  hang = false;
  hung.reject(new Error("gave up"));
  await gate.events.seen("uplink.open", 2);
  await gate.uplink.leases.take([ask(2n)]);
  expect(said.filter((line) => /^(open|2\/1)/.test(line))).toEqual([
    "open 1 resumes null recovered 0",
    "open 2 resumes 1 recovered 0",
    expect.stringContaining("2/1 1d"),
  ]);
});

test("a lane that does not fit stops, loudly, and the gateway goes on; its segments stay", async () => {
  const { url, publish } = await control();
  const id = newGateway();
  const first = await gateway(url, { gateway: id });
  await settle(first);
  await first.shipped();
  await first.stop();
  // The same gateway with an empty folder: its first segment claims a place that is taken.
  const forked = await gateway(url, { gateway: id });
  await settle(forked);
  await forked.journal.seal();
  expect(await forked.events.seen("uplink.lane_stopped")).toMatchObject({
    code: "uplink.fork",
    sequence: 1,
  });
  expect(forked.uplink.status()).toMatchObject({
    laneStopped: true,
    pendingSegments: 1,
    connected: true,
  });
  const sequence = await publish();
  while (forked.snapshot.current()?.sequence !== sequence)
    await forked.events.seen("snapshot.swapped", forked.events.count("snapshot.swapped") + 1);
  expect((await forked.uplink.leases.take([ask(1n)]))[0]?.amount).toBe(1n);
  expect(await recordsOf(id)).toBe(1);
});

test("closing ships what is sealed, gives back, and says goodbye, in this order", async () => {
  const { giver, said } = scriptedGiver();
  const { url } = await control({ leases: giver });
  const gate = await connected(url);
  await gate.uplink.leases.take([ask(3n)]);
  for (let n = 0; n < 4; n += 1) {
    await settle(gate);
    await gate.journal.seal();
  }
  await settle(gate);
  gate.uplink.leases.give([{ resource: tokens, amount: 3n }]);
  await gate.stop();
  expect(await recordsOf(gate.gateway)).toBe(5);
  expect(said.at(-1)).toBe("leave 1");
  expect(said.at(-2)).toContain("1g");
});

test("closing while control is away takes no longer than its bound", async () => {
  const { giver } = scriptedGiver();
  const first = await openControl(database, { leases: giver });
  const gate = await gateway(first.url);
  await gate.uplink.opened(5_000);
  await settle(gate);
  await first.close();
  const before = performance.now();
  await gate.stop(400);
  expect(performance.now() - before).toBeLessThan(1_500);
  expect(gate.uplink.status().pendingSegments).toBe(1);
});

test("two processes under one name: the older is fenced and what it says counts for nothing", async () => {
  const { giver, said } = scriptedGiver();
  let newest = 0;
  const strict = {
    ...giver,
    open: (opening: Parameters<typeof giver.open>[0]) => {
      newest = opening.epoch;
      return giver.open(opening);
    },
    leave: async (_: string, epoch: number) => {
      expect(epoch).toBe(newest);
      await giver.leave(_, epoch);
    },
  };
  const { url } = await control({ leases: strict });
  const id = newGateway();
  const older = await gateway(url, { gateway: id });
  await older.events.seen("uplink.open");
  const newer = await gateway(url, { gateway: id });
  await newer.events.seen("uplink.open");
  expect(String((await older.events.seen("uplink.lost"))["reason"])).toContain("uplink.fenced");
  expect(said.filter((line) => line.startsWith("open")).length).toBeGreaterThanOrEqual(2);
});

test("a wrong master key is said once, not every second", async () => {
  const { url } = await control();
  const gate = await gateway(url, { key: new Uint8Array(32) });
  await gate.events.seen("uplink.away");
  expect(await gate.uplink.opened(700)).toBe(false);
  expect(gate.events.count("uplink.away")).toBe(1);
});
