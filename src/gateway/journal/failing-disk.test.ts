// A disk that is full, fails now and then, or loses power: what was acknowledged is kept once, in order, and the gateway says so.
// Invariant of every test here: the sealed segments form one gapless chain of digests.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { scanFrames } from "../../billing/metering/frames.rules.ts";
import { decodeRecord } from "../../billing/metering/rules.ts";
import { decodeSegment, NO_DIGEST, segmentDigest } from "../../billing/metering/segment.rules.ts";
import type { Fact, JournalRecord } from "../../billing/metering/types.ts";
import { manualClock, seededDice, systemClock, type Dice } from "../../kit/clock.ts";
import { openFaultyFiles, type FaultyFiles } from "../../kit/file-port.faulty.ts";
import type { FilePort } from "../../kit/file-port.ts";
import { makeId } from "../../kit/id.ts";
import { silentLog, type Log } from "../../kit/log.ts";
import { plainFact } from "./fact.fixture.ts";
import { openJournal, type Journal, type JournalOptions } from "./journal.ts";

const ids = { clock: manualClock(), dice: seededDice(5) };
const nextFact = () => plainFact(makeId("req", ids.clock, ids.dice));
const intent = (fact: Fact): JournalRecord => ({ type: "intent", fact });
const settle = (fact: Fact): JournalRecord => ({ type: "settle", fact });
const never = 1e9;

const open = (files: FilePort, more: Partial<JournalOptions> = {}) =>
  openJournal({
    folder: "/j",
    gateway: `gw_${"0".repeat(26)}`,
    lane: 0,
    epoch: 1,
    files,
    clock: systemClock,
    log: silentLog,
    segmentAgeMaxMs: never,
    ...more,
  });

/** Where the chain stood; moves on with each segment that is taken. */
interface Chain {
  sequence: number;
  digest: string;
}
const begin = (): Chain => ({ sequence: 0, digest: NO_DIGEST });

/** What control would take: each segment must follow the one before it. */
async function taken(journal: Journal, chain: Chain): Promise<JournalRecord[]> {
  const records: JournalRecord[] = [];
  for (const sealed of journal.pending()) {
    if (sealed.header.sequence <= chain.sequence) continue;
    const bytes = await journal.read(sealed);
    const { header, frames } = decodeSegment(bytes);
    expect([header.sequence, header.previousDigest]).toEqual([chain.sequence + 1, chain.digest]);
    chain.sequence = header.sequence;
    chain.digest = segmentDigest(bytes);
    const { payloads, wholeBytes } = scanFrames(frames);
    expect(wholeBytes).toBe(frames.length);
    records.push(...payloads.map(decodeRecord));
  }
  return records;
}

const settledIn = (records: readonly JournalRecord[]) =>
  records.flatMap((record) => (record.type === "settle" ? [record.fact] : []));
const idsIn = (records: readonly JournalRecord[]) =>
  settledIn(records).map((fact) => fact.requestId);

/** Every seal fails until the answer is called. */
function breakSeals(disk: FaultyFiles): () => void {
  disk.failWhen((operation, path) =>
    operation === "replace" && path.endsWith(".segment") ? "undone" : undefined,
  );
  return () => disk.failWhen(() => undefined);
}

/** Resolves at the first line of the log that has this name. */
function awaitLine(name: string): { readonly log: Log; readonly seen: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const hear = (event: string) => {
    if (event === name) resolve();
  };
  const log: Log = { debug: hear, info: hear, warn: hear, error: hear, child: () => log };
  return { log, seen: promise };
}

test("a seal that fails holds up all later ones, refuses intents, and is tried again by itself", async () => {
  const disk = openFaultyFiles();
  const { log, seen } = awaitLine("journal.seal_healed");
  const journal = await open(disk.session(), { log });
  const [a, b] = [nextFact(), nextFact()];
  const mend = breakSeals(disk);
  await journal.append(settle(a));
  await journal.seal();
  await journal.append(settle(b));
  await journal.seal();
  expect([journal.healthy, journal.pending().length]).toEqual([false, 0]);
  await expect(journal.append(intent(nextFact()))).rejects.toThrow("cannot seal");
  mend();
  await seen;
  expect(journal.healthy).toBe(true);
  expect(idsIn(await taken(journal, begin()))).toEqual([a.requestId, b.requestId]);
});

test("a restart seals what never could be sealed, in order", async () => {
  const disk = openFaultyFiles();
  const journal = await open(disk.session());
  const facts = [nextFact(), nextFact(), nextFact()];
  const mend = breakSeals(disk);
  for (const fact of facts) {
    await journal.append(settle(fact));
    await journal.seal();
  }
  await journal.close();
  mend();
  const again = await open(disk.session());
  expect(idsIn(await taken(again, begin()))).toEqual(facts.map((fact) => fact.requestId));
});

test("records that were passed over keep the journal from opening, and stay", async () => {
  const disk = openFaultyFiles();
  const files = disk.session();
  const journal = await open(files);
  const mend = breakSeals(disk);
  await journal.append(settle(nextFact()));
  await journal.close();
  mend();
  await files.replace("/j/000000000002.segment", new Uint8Array());
  await expect(open(files)).rejects.toThrow("/j/000000000001.open holds records");
  expect(await files.list("/j")).toContain("000000000001.open");
});

test("records whose predecessor is missing keep the journal from opening", async () => {
  const disk = openFaultyFiles();
  const files = disk.session();
  const journal = await open(files);
  const mend = breakSeals(disk);
  await journal.append(settle(nextFact()));
  await journal.seal();
  await journal.append(settle(nextFact()));
  await journal.close();
  mend();
  await files.remove("/j/000000000001.open");
  await expect(open(files)).rejects.toThrow("000000000001.open or one after it is missing");
});

test("an open file that could not be removed after its seal is not sealed again", async () => {
  const disk = openFaultyFiles();
  const journal = await open(disk.session());
  disk.failWhen((operation) => (operation === "remove" ? "undone" : undefined));
  const fact = nextFact();
  await journal.append(settle(fact));
  await journal.seal();
  disk.failWhen(() => undefined);
  expect(journal.healthy).toBe(true);
  const again = await open(disk.session());
  expect(idsIn(await taken(again, begin()))).toEqual([fact.requestId]);
});

test("what a failed write left behind is cut off: later records are read after a crash", async () => {
  const disk = openFaultyFiles();
  const journal = await open(disk.session());
  const [before, lost, after] = [nextFact(), nextFact(), nextFact()];
  await journal.append(settle(before));
  disk.failWhen((operation) => (operation === "append" ? "undone" : undefined));
  await expect(journal.append(settle(lost))).rejects.toThrow("append");
  disk.failWhen(() => undefined);
  await journal.append(settle(after));
  disk.cutPower(seededDice(1));
  const again = await open(disk.session());
  expect(idsIn(await taken(again, begin()))).toEqual([before.requestId, after.requestId]);
});

test("a lazy settlement that failed is written later, once; nothing stays open", async () => {
  const disk = openFaultyFiles();
  const { log, seen } = awaitLine("journal.write_failed");
  const journal = await open(disk.session(), { log });
  const fact = nextFact();
  await journal.append(intent(fact));
  disk.failWhen((operation) => (operation === "sync" ? "done" : undefined));
  journal.appendLazy(settle({ ...fact, status: "refused_upstream" }));
  await seen;
  expect(journal.healthy).toBe(false);
  disk.failWhen(() => undefined);
  await journal.close();
  const again = await open(disk.session());
  const facts = settledIn(await taken(again, begin()));
  expect(facts.map((each) => each.status)).toEqual(["refused_upstream"]);
});

test("an answer that was refused because its settlement failed is settled as interrupted, before any restart", async () => {
  const disk = openFaultyFiles();
  const journal = await open(disk.session());
  const fact = nextFact();
  await journal.append(intent(fact));
  disk.failNext(new Error("disk full"));
  await expect(journal.append(settle(fact))).rejects.toThrow("disk full");
  await journal.close();
  const facts = settledIn(await taken(journal, begin()));
  expect(facts.map((each) => [each.requestId, each.status])).toEqual([
    [fact.requestId, "interrupted"],
  ]);
});

test("a journal whose write failed finds out by itself that the disk is well again", async () => {
  const disk = openFaultyFiles();
  const { log, seen } = awaitLine("journal.write_healed");
  const journal = await open(disk.session(), { log });
  disk.failNext(new Error("disk full"));
  await expect(journal.append(intent(nextFact()))).rejects.toThrow("disk full");
  expect(journal.healthy).toBe(false);
  await seen;
  expect(journal.healthy).toBe(true);
});

test("a full journal refuses intents, takes settlements, and has room again once control has some of it", async () => {
  const disk = openFaultyFiles();
  const lines: string[] = [];
  const hear = (event: string) => void lines.push(event);
  const log: Log = { debug: hear, info: hear, warn: hear, error: hear, child: () => log };
  const journal = await open(disk.session(), { log, bytesMax: 16_384 });
  const dispatched = nextFact();
  await journal.append(intent(dispatched));
  while (!journal.full) {
    await journal.append(intent(nextFact()));
    await journal.seal();
  }
  await expect(journal.append(intent(nextFact()))).rejects.toMatchObject({ code: "journal.full" });
  await journal.append(settle(dispatched));
  expect([journal.healthy, journal.bytes >= 16_384]).toEqual([true, true]);
  await journal.committed(journal.pending()[1]?.header.sequence ?? 0);
  await journal.append(intent(nextFact()));
  expect(lines.filter((line) => line === "journal.full")).toHaveLength(1);
  expect(lines.filter((line) => line === "journal.has_room")).toHaveLength(1);
});

test("a journal that was full when its process died is full when it opens", async () => {
  const disk = openFaultyFiles();
  const journal = await open(disk.session(), { bytesMax: 8_192 });
  for (let turn = 0; turn < 3; turn += 1) {
    await journal.append(settle(nextFact()));
    await journal.seal();
  }
  await journal.close();
  expect((await open(disk.session(), { bytesMax: 8_192 })).full).toBe(true);
});

test("far behind, segments are filled instead of sealed by age, so that days without control fit", async () => {
  const journal = await open(openFaultyFiles().session(), { segmentAgeMaxMs: 0 });
  for (let turn = 0; turn < 300; turn += 1) await journal.append(settle(nextFact()));
  expect(journal.pending().length).toBeLessThanOrEqual(258);
  await journal.close();
  expect(idsIn(await taken(journal, begin()))).toHaveLength(300);
});

interface World {
  readonly disk: FaultyFiles;
  readonly dice: Dice;
  readonly chain: Chain;
  readonly ledger: JournalRecord[];
  readonly begun: Set<string>;
  readonly settled: Set<string>;
}

async function request({ dice, begun, settled }: World, journal: Journal): Promise<void> {
  const fact = nextFact();
  await journal.append(intent(fact));
  begun.add(fact.requestId);
  const roll = dice.next();
  if (roll < 0.2) return;
  if (roll < 0.4) return journal.appendLazy(settle({ ...fact, status: "refused_upstream" }));
  await journal.append(settle(fact));
  settled.add(fact.requestId);
}

/** As the uplink does: taken first, deleted after; either may fail. */
async function ship({ ledger, chain }: World, journal: Journal): Promise<void> {
  ledger.push(...(await taken(journal, chain)));
  await journal.committed(chain.sequence);
}

/** A disk that fails may keep a journal from opening; then the supervisor tries again. */
async function openAtLast(world: World, epoch: number): Promise<Journal> {
  for (let tries = 0; tries < 1_000; tries += 1) {
    const opened = await open(world.disk.session(), { segmentRecordsMax: 4, epoch }).catch(
      () => undefined,
    );
    if (opened) return opened;
  }
  throw new Error("the journal never opened");
}

async function live(world: World, epoch: number): Promise<void> {
  const { disk, dice } = world;
  const chance = dice.next() < 0.3 ? 0 : dice.next() * 0.3;
  disk.failWhen(() => (dice.next() >= chance ? undefined : dice.next() < 0.5 ? "undone" : "done"));
  const journal = await openAtLast(world, epoch);
  const work: Promise<void>[] = [];
  for (let turn = 0; turn < 10; turn += 1) {
    work.push(request(world, journal));
    if (dice.next() < 0.3) work.push(journal.seal());
    if (dice.next() < 0.3) await ship(world, journal).catch(onlyOfTheDisk);
    for (let pause = Math.floor(dice.next() * 8); pause > 0; pause -= 1) await Promise.resolve();
  }
  const ending = dice.next();
  if (ending < 0.5) disk.cutPower(dice);
  await Promise.allSettled(work);
  // Closed after a power loss too: of a dead process nothing may run on.
  await journal.close().catch(() => {});
}

function onlyOfTheDisk(error: unknown): void {
  if (!(error instanceof Error) || !error.message.endsWith(" failed")) throw error;
}

test("failing disks, power cuts and restarts mixed: one gapless chain, nothing acknowledged lost or doubled", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 }), async (seed) => {
      const world: World = {
        disk: openFaultyFiles(),
        dice: seededDice(seed),
        chain: begin(),
        ledger: [],
        begun: new Set(),
        settled: new Set(),
      };
      for (let epoch = 1; epoch <= 6; epoch += 1) await live(world, epoch);
      world.disk.failWhen(() => undefined);
      const last = await open(world.disk.session(), { epoch: 9 });
      await last.close();
      await ship(world, last);
      const facts = new Map(settledIn(world.ledger).map((fact) => [fact.requestId, fact]));
      expect(facts.size).toBe(settledIn(world.ledger).length);
      for (const id of world.begun) expect([...facts.keys()]).toContain(id as Fact["requestId"]);
      for (const id of world.settled) expect(facts.get(id as Fact["requestId"])?.status).toBe("ok");
    }),
    { numRuns: 100 },
  );
}, 60_000);
