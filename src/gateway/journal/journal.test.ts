import { afterEach, expect, test } from "bun:test";
import fc from "fast-check";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scanFrames } from "../../billing/metering/frames.rules.ts";
import { decodeRecord } from "../../billing/metering/rules.ts";
import { decodeSegment, NO_DIGEST, segmentDigest } from "../../billing/metering/segment.rules.ts";
import type { JournalRecord } from "../../billing/metering/types.ts";
import { manualClock, seededDice, systemClock } from "../../kit/clock.ts";
import { realFiles, type AppendFile, type FilePort } from "../../kit/file-port.ts";
import { openFaultyFiles } from "../../kit/file-port.faulty.ts";
import { asId, makeId, type RequestId } from "../../kit/id.ts";
import { silentLog } from "../../kit/log.ts";
import { plainFact } from "./fact.fixture.ts";
import { openJournal, type Journal } from "./journal.ts";

const gateway = `gw_${"0".repeat(26)}`;
const ids = { clock: manualClock(), dice: seededDice(3) };
const nextId = () => makeId("req", ids.clock, ids.dice);

const intent = (id: RequestId): JournalRecord => ({ type: "intent", fact: plainFact(id) });
const settle = (id: RequestId): JournalRecord => ({ type: "settle", fact: plainFact(id) });

/** The system closes what a dead process had open; here a journal that is merely left behind stands for one. */
const opened = new Set<AppendFile>();
const mortalFiles: FilePort = {
  ...realFiles,
  openAppend: async (path) => {
    const file = await realFiles.openAppend(path);
    opened.add(file);
    return file;
  },
};
afterEach(async () => {
  await Promise.allSettled([...opened].map((file) => file.close()));
  opened.clear();
});

function open(
  files: FilePort,
  folder: string,
  more: Partial<Parameters<typeof openJournal>[0]> = {},
): Promise<Journal> {
  return openJournal({
    folder,
    gateway,
    lane: 0,
    epoch: 1,
    files,
    clock: systemClock,
    log: silentLog,
    ...more,
  });
}

/** Every record in the sealed segments, after checking that the chain is gapless. */
async function ledgerOf(journal: Journal): Promise<JournalRecord[]> {
  const records: JournalRecord[] = [];
  let previous: string | undefined;
  let sequence: number | undefined;
  for (const sealed of journal.pending()) {
    const bytes = await journal.read(sealed);
    const { header, frames } = decodeSegment(bytes);
    if (previous !== undefined) expect(header.previousDigest).toBe(previous);
    if (sequence !== undefined) expect(header.sequence).toBe(sequence + 1);
    const { payloads, wholeBytes } = scanFrames(frames);
    expect(wholeBytes).toBe(frames.length);
    expect(payloads.length).toBe(header.count);
    records.push(...payloads.map(decodeRecord));
    previous = segmentDigest(bytes);
    sequence = header.sequence;
  }
  return records;
}

const temporary = () => mkdtemp(join(tmpdir(), "journal-"));

test("records come back in order from sealed segments", async () => {
  const journal = await open(mortalFiles, await temporary());
  const id = nextId();
  await journal.append(intent(id));
  journal.appendLazy({
    type: "progress",
    requestId: id,
    attempt: 1,
    firstByteMs: 5,
    quantities: [],
  });
  await journal.append(settle(id));
  await journal.close();
  expect((await ledgerOf(journal)).map((record) => record.type)).toEqual([
    "intent",
    "progress",
    "settle",
  ]);
  expect(journal.pending()[0]?.header).toMatchObject({
    sequence: 1,
    previousDigest: NO_DIGEST,
    count: 3,
  });
});

test("many appends at once share group commits and segments stay within their bounds", async () => {
  const journal = await open(mortalFiles, await temporary(), { segmentRecordsMax: 100 });
  await Promise.all(Array.from({ length: 1000 }, () => journal.append(settle(nextId()))));
  await journal.close();
  expect(await ledgerOf(journal)).toHaveLength(1000);
});

test("an idle segment is sealed by its age", async () => {
  const journal = await open(mortalFiles, await temporary(), { segmentAgeMaxMs: 20 });
  const sealed = new Promise<void>((resolve) => journal.onSealed(resolve));
  await journal.append(settle(nextId()));
  await sealed;
  expect(journal.pending()).toHaveLength(1);
  await journal.close();
});

test("a restart settles open intents once, as interrupted, with the last progress", async () => {
  const folder = await temporary();
  const first = await open(mortalFiles, folder);
  const [done, left] = [nextId(), nextId()];
  await first.append(intent(done));
  await first.append(intent(left));
  await first.append(settle(done));
  await first.append({
    type: "progress",
    requestId: left,
    attempt: 1,
    firstByteMs: 7,
    quantities: [{ meter: "output_tokens", amount: 9n, source: "counted" }],
  });
  await first.seal();
  const second = await open(mortalFiles, folder);
  await second.close();
  const third = await open(mortalFiles, folder);
  await third.close();
  const settled = (await ledgerOf(third)).flatMap((record) =>
    record.type === "settle" ? [record.fact] : [],
  );
  expect(settled.map((each) => [each.requestId, each.status])).toEqual([
    [done, "ok"],
    [left, "interrupted"],
  ]);
  expect(settled[1]).toMatchObject({
    firstByteMs: 7,
    quantities: [{ meter: "output_tokens", amount: 9n, source: "counted" }],
  });
});

test("an intent survives the deletion of its segment, and settles once after a restart", async () => {
  const folder = await temporary();
  const first = await open(mortalFiles, folder);
  const id = nextId();
  await first.append(intent(id));
  await first.seal();
  await first.committed(1);
  expect(first.pending()).toHaveLength(0);
  await first.append(settle(nextId()));
  await first.seal();
  const second = await open(mortalFiles, folder);
  await second.seal();
  const records = await ledgerOf(second);
  expect(
    records.flatMap((record) =>
      record.type === "settle" && record.fact.status === "interrupted"
        ? [record.fact.requestId]
        : [],
    ),
  ).toEqual([id]);
  await second.committed(99);
  await second.close();
  const third = await open(mortalFiles, folder);
  expect(third.pending()).toHaveLength(0);
  await third.append(settle(nextId()));
  await third.close();
  expect(third.pending()[0]?.header.sequence).toBeGreaterThan(
    second.pending()[0]?.header.sequence ?? 3,
  );
});

test("a failed write rejects, says unhealthy, and the next one heals", async () => {
  const files = openFaultyFiles();
  const journal = await open(files.session(), "/j");
  files.failNext(Object.assign(new Error("no space left on device"), { code: "ENOSPC" }));
  await expect(journal.append(settle(nextId()))).rejects.toThrow("no space");
  const id = nextId();
  await journal.append(settle(id));
  expect(journal.healthy).toBe(true);
  await journal.close();
  expect(
    (await ledgerOf(journal)).flatMap((record) =>
      record.type === "settle" ? [record.fact.requestId] : [],
    ),
  ).toEqual([id]);
});

test("power loss at any point: acknowledged settlements are kept once, every acknowledged intent settles exactly once", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 2 ** 31 }), async (seed) => {
      const dice = seededDice(seed);
      const files = openFaultyFiles();
      const begun = new Set<string>();
      const settled = new Set<string>();
      const committed: JournalRecord[] = [];
      const collect = async (journal: Journal) => {
        const records = await ledgerOf(journal);
        committed.push(...records);
        await journal.committed(journal.pending().at(-1)?.header.sequence ?? 0);
      };
      for (let life = 0; life < 4; life += 1) {
        const journal = await open(files.session(), "/j", {
          segmentRecordsMax: 5,
          epoch: life + 1,
        });
        const work = Array.from({ length: 12 }, async () => {
          const id = nextId();
          await journal.append(intent(id));
          begun.add(id);
          if (dice.next() < 0.7) {
            await journal.append(settle(id));
            settled.add(id);
          }
        });
        const all = Promise.allSettled(work);
        for (let turn = Math.floor(dice.next() * 60); turn > 0; turn -= 1) await Promise.resolve();
        if (dice.next() < 0.3) {
          await all;
          await journal.seal();
          await collect(journal);
        }
        files.cutPower(dice);
        await all;
        // Of a dead process nothing runs on.
        await journal.close().catch(() => {});
      }
      const last = await open(files.session(), "/j", { epoch: 9 });
      await last.close();
      await collect(last);
      const facts = committed.flatMap((record) => (record.type === "settle" ? [record.fact] : []));
      const count = new Map<string, number>();
      for (const each of facts) count.set(each.requestId, (count.get(each.requestId) ?? 0) + 1);
      for (const [id, times] of count) expect([id, times]).toEqual([id, 1]);
      for (const id of begun) expect(count.get(id)).toBe(1);
      for (const id of settled)
        expect(facts.find((each) => each.requestId === id)?.status).toBe("ok");
    }),
    { numRuns: 150 },
  );
}, 30_000);

test("an id that is no request id is refused before anything is written", async () => {
  const journal = await open(mortalFiles, await temporary());
  await expect(journal.append(settle(asId<"req">("nonsense")))).rejects.toThrow("no request id");
  await journal.close();
  expect(await ledgerOf(journal)).toEqual([]);
});
