// The journal: facts on disk before the caller's last byte, by group commit; sealed segments for the shipper.
// Invariants: `append` resolves after its bytes are synced; one gapless sequence per gateway and lane across restarts; a segment
// is deleted only after "committed up to n", and never before the checkpoint holds the open intents that it held.

import { join } from "node:path";
import { FRAME_HEAD_BYTES, writeFrame } from "../../billing/metering/frames.rules.ts";
import { encodeRecord } from "../../billing/metering/rules.ts";
import { encodeSegment, segmentDigest } from "../../billing/metering/segment.rules.ts";
import type { JournalRecord, SegmentHeader } from "../../billing/metering/types.ts";
import type { Clock } from "../../kit/clock.ts";
import type { AppendFile, FilePort } from "../../kit/file-port.ts";
import { errorText, type Log } from "../../kit/log.ts";
import { toInterrupted, type OpenIntents } from "./open-intents.state.ts";
import {
  CHECKPOINT,
  openName,
  recoverJournal,
  sealedName,
  TAIL,
  type Recovered,
  type Sealed,
} from "./recover.ts";

export interface JournalOptions {
  readonly folder: string;
  readonly gateway: string;
  readonly lane: number;
  readonly epoch: number;
  readonly files: FilePort;
  readonly clock: Clock;
  readonly log: Log;
  /** A segment is sealed at whichever comes first. */
  readonly segmentBytesMax?: number;
  readonly segmentRecordsMax?: number;
  readonly segmentAgeMaxMs?: number;
}

export interface Journal {
  /** Resolves when the record is on disk; rejects when it could not be written (then `healthy` is false). */
  append(record: JournalRecord): Promise<void>;
  /** On disk with the next group commit; nobody waits. */
  appendLazy(record: JournalRecord): void;
  /** False after a failed write, until one succeeds. */
  readonly healthy: boolean;
  /** Sealed and not yet deleted, oldest first. */
  pending(): readonly Sealed[];
  read(sealed: Sealed): Promise<Uint8Array>;
  /** All up to `sequence` are in the ledger's database: they may go. */
  committed(sequence: number): Promise<void>;
  onSealed(listener: () => void): void;
  /** Segments sealed from now on carry this epoch. */
  setEpoch(epoch: number): void;
  /** Seals what is open; resolves when everything is on disk. */
  seal(): Promise<void>;
  close(): Promise<void>;
}

interface OpenSegment {
  readonly sequence: number;
  readonly file: AppendFile;
  readonly frames: Uint8Array[];
  bytes: number;
  count: number;
  firstAtMs: number;
  lastAtMs: number;
}

/** What goes to disk with one write. */
interface Batch {
  readonly records: JournalRecord[];
  readonly payloads: Uint8Array[];
  readonly written: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

function openBatch(): Batch {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Lazy records have nobody who waits; a failure is told by `healthy` and in the log.
  promise.catch(() => {});
  return { records: [], payloads: [], written: promise, resolve, reject };
}

const SEGMENT_BYTES_MAX = 256 * 1024;
const SEGMENT_RECORDS_MAX = 1_024;
const SEGMENT_AGE_MAX_MS = 250;
/** A lazy record waits at most this long for company. */
const LAZY_MS = 5;

class FileJournal implements Journal {
  readonly #options: JournalOptions;
  readonly #intents: OpenIntents;
  readonly #sealed: Sealed[];
  readonly #listeners: (() => void)[] = [];
  #epoch: number;
  #lastDigest: string;
  #current: OpenSegment;
  #next: Promise<OpenSegment>;
  #batch = openBatch();
  #flushing: Promise<void> | undefined;
  #sealing: Promise<void> = Promise.resolve();
  #lazyTimer: ReturnType<typeof setTimeout> | undefined;
  #ageTimer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  healthy = true;

  constructor(options: JournalOptions, recovered: Recovered, current: OpenSegment) {
    this.#options = options;
    this.#epoch = options.epoch;
    this.#intents = recovered.intents;
    this.#sealed = [...recovered.sealed];
    this.#lastDigest = recovered.lastDigest;
    this.#current = current;
    this.#next = this.#prepare(current.sequence + 1);
  }

  #prepare(sequence: number): Promise<OpenSegment> {
    const next = openSegment(this.#options, sequence);
    // Awaited at the next rotation; until then a failure only waits there.
    next.catch(() => {});
    return next;
  }

  append(record: JournalRecord): Promise<void> {
    try {
      this.#push(record);
    } catch (error) {
      return Promise.reject(error);
    }
    const { written } = this.#batch;
    this.#flushing ??= this.#flush();
    return written;
  }

  appendLazy(record: JournalRecord): void {
    this.#push(record);
    if (this.#flushing || this.#lazyTimer) return;
    this.#lazyTimer = setTimeout(() => {
      this.#lazyTimer = undefined;
      this.#flushing ??= this.#flush();
    }, LAZY_MS);
  }

  #push(record: JournalRecord): void {
    this.#batch.payloads.push(encodeRecord(record));
    this.#batch.records.push(record);
  }

  /** One write and one sync for all that came while the last ones ran. */
  async #flush(): Promise<void> {
    await Promise.resolve();
    while (this.#batch.records.length > 0) {
      const batch = this.#batch;
      this.#batch = openBatch();
      try {
        await this.#write(batch.payloads);
        for (const record of batch.records) this.#intents.apply(record, this.#current.sequence);
        this.healthy = true;
        batch.resolve();
      } catch (error) {
        this.healthy = false;
        this.#options.log.error("journal.write_failed", { reason: errorText(error) });
        batch.reject(error);
        await this.#rotate().catch(() => {});
      }
      if (this.#isFull()) await this.#rotate().catch((error: unknown) => this.#alarm(error));
    }
    this.#flushing = undefined;
    this.#armAge();
  }

  #alarm(error: unknown): void {
    this.healthy = false;
    this.#options.log.error("journal.rotate_failed", { reason: errorText(error) });
  }

  async #write(payloads: readonly Uint8Array[]): Promise<void> {
    const current = this.#current;
    const bytes = new Uint8Array(
      payloads.reduce((sum, payload) => sum + FRAME_HEAD_BYTES + payload.length, 0),
    );
    let at = 0;
    for (const payload of payloads) at = writeFrame(bytes, at, payload);
    await current.file.append(bytes);
    await current.file.sync();
    const now = this.#options.clock.nowMs();
    if (current.count === 0) current.firstAtMs = now;
    current.lastAtMs = now;
    current.frames.push(bytes);
    current.bytes += bytes.length;
    current.count += payloads.length;
  }

  #isFull(): boolean {
    const { bytes, count, firstAtMs } = this.#current;
    if (count === 0) return false;
    const {
      segmentBytesMax = SEGMENT_BYTES_MAX,
      segmentRecordsMax = SEGMENT_RECORDS_MAX,
      segmentAgeMaxMs = SEGMENT_AGE_MAX_MS,
    } = this.#options;
    return (
      bytes >= segmentBytesMax ||
      count >= segmentRecordsMax ||
      this.#options.clock.nowMs() - firstAtMs >= segmentAgeMaxMs
    );
  }

  #armAge(): void {
    if (this.#ageTimer || this.#closed || this.#current.count === 0) return;
    this.#ageTimer = setTimeout(() => {
      this.#ageTimer = undefined;
      if (this.#flushing === undefined) void this.seal();
    }, this.#options.segmentAgeMaxMs ?? SEGMENT_AGE_MAX_MS);
  }

  /** The next file takes over at once; the full one is sealed behind the writers' backs. */
  async #rotate(): Promise<void> {
    const full = this.#current;
    const next = await this.#next.catch(() => openSegment(this.#options, full.sequence + 1));
    this.#current = next;
    this.#next = this.#prepare(next.sequence + 1);
    this.#sealing = this.#sealing
      .then(() => this.#sealOne(full))
      .catch((error: unknown) => this.#alarm(error));
  }

  async #sealOne(full: OpenSegment): Promise<void> {
    const { files, folder, gateway, lane } = this.#options;
    await full.file.close();
    const frames = new Uint8Array(full.bytes);
    let at = 0;
    for (const part of full.frames) {
      frames.set(part, at);
      at += part.length;
    }
    const header: SegmentHeader = {
      format: 1,
      gateway,
      epoch: this.#epoch,
      lane,
      sequence: full.sequence,
      previousDigest: this.#lastDigest,
      count: full.count,
      firstAtMs: full.firstAtMs,
      lastAtMs: full.lastAtMs,
    };
    const bytes = encodeSegment(header, frames);
    const path = join(folder, sealedName(full.sequence));
    await files.replace(path, bytes);
    await files.remove(join(folder, openName(full.sequence)));
    this.#lastDigest = segmentDigest(bytes);
    this.#sealed.push({ header, path, byteLength: bytes.length });
    for (const listener of this.#listeners) listener();
  }

  pending = () => this.#sealed;
  read = (sealed: Sealed) => this.#options.files.read(sealed.path);
  onSealed = (listener: () => void) => void this.#listeners.push(listener);
  setEpoch = (epoch: number) => void (this.#epoch = epoch);

  async committed(sequence: number): Promise<void> {
    const gone = this.#sealed.filter((sealed) => sealed.header.sequence <= sequence);
    const newest = gone.at(-1);
    if (newest === undefined) return;
    const { files, folder } = this.#options;
    const digest =
      this.#sealed.length === gone.length
        ? this.#lastDigest
        : segmentDigest(await files.read(newest.path));
    await files.replace(join(folder, CHECKPOINT), this.#checkpoint(newest.header.sequence));
    await files.replace(
      join(folder, TAIL),
      new TextEncoder().encode(JSON.stringify({ sequence: newest.header.sequence, digest })),
    );
    this.#sealed.splice(0, gone.length);
    for (const sealed of gone) await files.remove(sealed.path);
  }

  #checkpoint(sequence: number): Uint8Array {
    const payloads = this.#intents.upTo(sequence).flatMap(({ fact, firstByteMs, quantities }) => {
      const { requestId, attempt } = fact;
      return [
        encodeRecord({ type: "intent", fact }),
        encodeRecord({ type: "progress", requestId, attempt, firstByteMs, quantities }),
      ];
    });
    const bytes = new Uint8Array(
      payloads.reduce((sum, payload) => sum + FRAME_HEAD_BYTES + payload.length, 0),
    );
    let at = 0;
    for (const payload of payloads) at = writeFrame(bytes, at, payload);
    return bytes;
  }

  async seal(): Promise<void> {
    await this.#flushing;
    if (this.#current.count > 0) await this.#rotate();
    await this.#sealing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#lazyTimer);
    clearTimeout(this.#ageTimer);
    this.#flushing ??= this.#flush();
    await this.seal();
    for (const unused of [this.#current, await this.#next]) {
      await unused.file.close();
      await this.#options.files.remove(join(this.#options.folder, openName(unused.sequence)));
    }
  }
}

async function openSegment(options: JournalOptions, sequence: number): Promise<OpenSegment> {
  const file = await options.files.openAppend(join(options.folder, openName(sequence)));
  return { sequence, file, frames: [], bytes: 0, count: 0, firstAtMs: 0, lastAtMs: 0 };
}

/** Recovers the folder, then settles every intent that a dead process left open, once, as `interrupted`. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { files, folder, gateway, lane, epoch, clock, log } = options;
  await files.makeFolder(folder);
  const recovered = await recoverJournal({
    files,
    folder,
    gateway,
    lane,
    epoch,
    nowMs: clock.nowMs(),
  });
  const orphans = recovered.intents.all();
  const journal = new FileJournal(
    options,
    recovered,
    await openSegment(options, recovered.nextSequence),
  );
  await Promise.all(orphans.map((orphan) => journal.append(toInterrupted(orphan, clock.nowMs()))));
  if (orphans.length > 0) log.warn("journal.interrupted", { count: orphans.length });
  return journal;
}
