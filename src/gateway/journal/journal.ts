// The journal: facts on disk before the caller's last byte, by group commit; sealed segments for the shipper.
// Invariants: `append` resolves after its bytes are synced; one gapless sequence per gateway and lane across restarts; while it
// cannot seal, or holds all that it may, it takes no intent, but every settlement of what was dispatched.

import { join } from "node:path";
import { encodeRecord } from "../../billing/metering/rules.ts";
import type { JournalRecord } from "../../billing/metering/types.ts";
import type { Clock } from "../../kit/clock.ts";
import { Fault } from "../../kit/fault.ts";
import { errorText } from "../../kit/log.ts";
import { toInterrupted, type OpenIntents } from "./open-intents.state.ts";
import { closeFile, mend, openSegment, writeTo, type OpenSegment } from "./open-segment.ts";
import { openName, recoverJournal, type Recovered, type Sealed } from "./recover.ts";
import { onDisk, Sealer, type SealerOptions } from "./sealer.ts";

export interface JournalOptions extends SealerOptions {
  readonly clock: Clock;
  /** Above this no intent is taken until control has some of it. */
  readonly bytesMax?: number;
  /** A segment is sealed at whichever comes first. */
  readonly segmentBytesMax?: number;
  readonly segmentRecordsMax?: number;
  readonly segmentAgeMaxMs?: number;
}

export interface Journal {
  /**
   * Resolves when the record is on disk; rejects when it could not be written (then `healthy` is false), and an intent also
   * while the journal cannot seal or is full (`journal.full`). A settlement that failed is written later all the same: as it is,
   * or as interrupted when it says ok and its caller has heard otherwise.
   */
  append(record: JournalRecord): Promise<void>;
  /** On disk with the next group commit; nobody waits. A settlement that failed is tried again. */
  appendLazy(record: JournalRecord): void;
  /** False after a write or a seal failed, until one succeeds. */
  readonly healthy: boolean;
  /** On this disk, in whole blocks. */
  readonly bytes: number;
  /** No intent is taken for want of room. */
  readonly full: boolean;
  /** Sealed and not yet deleted, oldest first. */
  pending(): readonly Sealed[];
  read(sealed: Sealed): Promise<Uint8Array>;
  /** All up to `sequence` are in the ledger's database: they may go. */
  committed(sequence: number): Promise<void>;
  onSealed(listener: () => void): void;
  /** Segments sealed from now on carry this epoch. */
  setEpoch(epoch: number): void;
  /** Seals what is open, oldest first, as far as the disk lets it; the rest is tried again behind the caller's back. */
  seal(): Promise<void>;
  close(): Promise<void>;
}

/** What goes to disk with one write. */
interface Batch {
  readonly records: JournalRecord[];
  readonly payloads: Uint8Array[];
  /** Those that nobody waits for. */
  readonly lazy: JournalRecord[];
  readonly written: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

function openBatch(): Batch {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Lazy records have nobody who waits; a failure is told by `healthy` and in the log.
  promise.catch(() => {});
  return { records: [], payloads: [], lazy: [], written: promise, resolve, reject };
}

const BYTES_MAX = 1024 ** 3;
/** Of the bound: once full, it takes intents again below this. */
const ROOM_AGAIN = 0.9;
const SEGMENT_BYTES_MAX = 256 * 1024;
const SEGMENT_RECORDS_MAX = 1_024;
const SEGMENT_AGE_MAX_MS = 250;
/** With so many waiting for control nobody is in a hurry for the next: segments are filled, whatever their age. */
const PENDING_BEHIND = 256;
/** A lazy record waits at most this long for company. */
const LAZY_MS = 5;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
/** Written and removed to learn whether writing works again; recovery removes it by its ending. */
const PROBE = "probe.new";
const PROBE_BYTES = 4_096;

type Trouble = "write" | "rotate" | "seal";

class FileJournal implements Journal {
  readonly #options: JournalOptions;
  readonly #intents: OpenIntents;
  readonly #sealer: Sealer;
  readonly #troubles = new Set<Trouble>();
  #current: OpenSegment;
  #next: Promise<OpenSegment>;
  #batch = openBatch();
  /** Settlements that could not be written; no more than there were open intents when writing began to fail. */
  #kept: JournalRecord[] = [];
  #flushing: Promise<void> | undefined;
  #sealing: Promise<void> | undefined;
  #sealWanted = false;
  #lazyTimer: ReturnType<typeof setTimeout> | undefined;
  #ageTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #retryMs = RETRY_MIN_MS;
  #closed = false;
  full = false;

  constructor(options: JournalOptions, recovered: Recovered, current: OpenSegment) {
    this.#options = options;
    this.#intents = recovered.intents;
    this.#sealer = new Sealer(options, recovered);
    this.#current = current;
    this.#next = this.#prepare(current.sequence + 1);
    this.#measure();
  }

  get healthy(): boolean {
    return this.#troubles.size === 0;
  }

  get bytes(): number {
    return this.#sealer.bytes + onDisk(this.#current.bytes);
  }

  pending = () => this.#sealer.pending();
  read = (sealed: Sealed) => this.#options.files.read(sealed.path);
  onSealed = (listener: () => void) => this.#sealer.onSealed(listener);
  setEpoch = (epoch: number) => this.#sealer.setEpoch(epoch);

  async committed(sequence: number): Promise<void> {
    await this.#sealer.committed(sequence);
    this.#measure();
  }

  #prepare(sequence: number): Promise<OpenSegment> {
    const next = openSegment(this.#options, sequence);
    // Awaited at the next rotation; until then a failure only waits there.
    next.catch(() => {});
    return next;
  }

  append(record: JournalRecord): Promise<void> {
    try {
      if (record.type === "intent") this.#admit();
      this.#push(record);
    } catch (error) {
      return Promise.reject(error);
    }
    const { written } = this.#batch;
    this.#flushing ??= this.#pump();
    return written;
  }

  appendLazy(record: JournalRecord): void {
    this.#push(record);
    this.#batch.lazy.push(record);
    if (this.#flushing || this.#lazyTimer) return;
    this.#lazyTimer = setTimeout(() => {
      this.#lazyTimer = undefined;
      this.#flushing ??= this.#pump();
    }, LAZY_MS);
  }

  #push(record: JournalRecord): void {
    this.#batch.payloads.push(encodeRecord(record));
    this.#batch.records.push(record);
  }

  /** A failed write does not stop intents: the next one may heal it. */
  #admit(): void {
    if (this.full)
      throw new Fault("journal.full", {
        message: "This gateway must hand over what it recorded before it takes more requests.",
        retryAfterSeconds: 5,
      });
    if (this.#troubles.has("seal") || this.#troubles.has("rotate"))
      throw new Error("the journal cannot seal what it holds");
  }

  /** The one that writes: commits what came while the last write ran, and changes files between two commits. */
  async #pump(): Promise<void> {
    await Promise.resolve();
    while (this.#batch.records.length > 0 || this.#sealWanted) {
      const wanted = this.#sealWanted;
      this.#sealWanted = false;
      if (this.#batch.records.length > 0) await this.#commit();
      if (wanted ? this.#current.count > 0 : this.#isFull()) await this.#rotate();
    }
    this.#flushing = undefined;
    this.#armAge();
  }

  async #commit(): Promise<void> {
    const batch = this.#batch;
    const current = this.#current;
    this.#batch = openBatch();
    try {
      if (current.torn) await mend(this.#options, current);
      await writeTo(current, batch.payloads, this.#options.clock.nowMs);
      for (const record of batch.records) this.#intents.apply(record, current.sequence);
    } catch (error) {
      this.#keep(batch);
      this.#trouble("write", error);
      batch.reject(error);
      return;
    }
    this.#healed("write");
    batch.resolve();
    this.#measure();
  }

  /** Progress is told again by the next; an intent that failed was never dispatched. */
  #keep({ records, lazy }: Batch): void {
    const silent = new Set(lazy);
    for (const record of records) {
      if (record.type !== "settle") continue;
      const open = this.#intents.get(record.fact);
      if (silent.has(record) || record.fact.status !== "ok") this.#kept.push(record);
      else if (open) this.#kept.push(toInterrupted(open, this.#options.clock.nowMs()));
    }
  }

  #trouble(what: Trouble, error: unknown): void {
    if (!this.#troubles.has(what))
      this.#options.log.error(`journal.${what}_failed`, { reason: errorText(error) });
    this.#troubles.add(what);
    if (this.#retryTimer || this.#closed) return;
    this.#retryTimer = setTimeout(() => void this.#retry(), this.#retryMs);
    this.#retryTimer.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  #healed(what: Trouble): void {
    if (!this.#troubles.delete(what)) return;
    this.#options.log.info(`journal.${what}_healed`);
    if (this.healthy) this.#retryMs = RETRY_MIN_MS;
  }

  async #retry(): Promise<void> {
    this.#retryTimer = undefined;
    if (this.#kept.length === 0 && this.#troubles.has("write")) await this.#probe();
    this.#putBack();
    await this.seal();
  }

  #putBack(): void {
    const kept = this.#kept.splice(0);
    this.#batch.records.unshift(...kept);
    this.#batch.payloads.unshift(...kept.map(encodeRecord));
    this.#batch.lazy.push(...kept);
  }

  /** A gateway that is not ready gets no requests whose writes could show that the disk is well again. */
  async #probe(): Promise<void> {
    const { files, folder } = this.#options;
    const path = join(folder, PROBE);
    try {
      await files.replace(path, new Uint8Array(PROBE_BYTES));
      await files.remove(path);
      this.#healed("write");
    } catch (error) {
      this.#trouble("write", error);
    }
  }

  #measure(): void {
    const { log, bytesMax = BYTES_MAX } = this.#options;
    const { bytes } = this;
    if (!this.full && bytes >= bytesMax) {
      this.full = true;
      log.error("journal.full", { bytes, bytesMax });
    } else if (this.full && bytes < bytesMax * ROOM_AGAIN) {
      this.full = false;
      log.info("journal.has_room", { bytes, bytesMax });
    }
  }

  #isBehind(): boolean {
    return this.#sealer.pending().length >= PENDING_BEHIND;
  }

  #isFull(): boolean {
    const { bytes, count, firstAtMs } = this.#current;
    if (count === 0) return false;
    const {
      clock,
      segmentBytesMax = SEGMENT_BYTES_MAX,
      segmentRecordsMax = SEGMENT_RECORDS_MAX,
      segmentAgeMaxMs = SEGMENT_AGE_MAX_MS,
    } = this.#options;
    if (bytes >= segmentBytesMax || count >= segmentRecordsMax) return true;
    return clock.nowMs() - firstAtMs >= segmentAgeMaxMs && !this.#isBehind();
  }

  #armAge(): void {
    if (this.#ageTimer || this.#closed || this.#current.count === 0) return;
    this.#ageTimer = setTimeout(() => {
      this.#ageTimer = undefined;
      if (this.#isBehind()) this.#armAge();
      else if (this.#flushing === undefined) void this.seal();
    }, this.#options.segmentAgeMaxMs ?? SEGMENT_AGE_MAX_MS);
  }

  /** The next file takes over at once; the full one is sealed behind the writers' backs. */
  async #rotate(): Promise<void> {
    const full = this.#current;
    try {
      if (full.torn) await mend(this.#options, full);
      this.#current = await this.#next.catch(() => openSegment(this.#options, full.sequence + 1));
    } catch (error) {
      this.#trouble("rotate", error);
      return;
    }
    this.#next = this.#prepare(full.sequence + 2);
    this.#healed("rotate");
    this.#sealer.take(full);
    if (!this.#troubles.has("seal")) this.#sealing ??= this.#sealAll();
  }

  /** Called with at least one that waits, so it never ends before its promise is kept. */
  async #sealAll(): Promise<void> {
    try {
      while (this.#sealer.waiting > 0) await this.#sealer.sealNext();
      this.#healed("seal");
    } catch (error) {
      this.#trouble("seal", error);
    }
    this.#sealing = undefined;
  }

  async seal(): Promise<void> {
    this.#sealWanted = true;
    this.#flushing ??= this.#pump();
    await this.#flushing;
    if (this.#sealer.waiting > 0) this.#sealing ??= this.#sealAll();
    await this.#sealing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of [this.#lazyTimer, this.#ageTimer, this.#retryTimer]) clearTimeout(timer);
    this.#putBack();
    await this.seal();
    const { files, folder } = this.#options;
    for (const last of [this.#current, await this.#next.catch(() => undefined)]) {
      if (last === undefined) continue;
      await closeFile(last);
      // What could not be sealed is the next start's to seal.
      if (last.count === 0) await files.remove(join(folder, openName(last.sequence)));
    }
  }
}

/** Settles every intent that a dead process left open, once, as `interrupted`, and seals that. */
async function settleOrphans(
  { clock, log }: JournalOptions,
  journal: FileJournal,
  { intents }: Recovered,
): Promise<void> {
  const orphans = intents.all();
  if (orphans.length === 0) return;
  await Promise.all(orphans.map((orphan) => journal.append(toInterrupted(orphan, clock.nowMs()))));
  await journal.seal();
  if (!journal.healthy) throw new Error("the journal cannot seal what the last process left");
  log.warn("journal.interrupted", { count: orphans.length });
}

/** Recovers the folder; rejects when the disk fails on the way, and then has left nothing running. */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { files, folder, clock } = options;
  await files.makeFolder(folder);
  const recovered = await recoverJournal({ ...options, nowMs: clock.nowMs() });
  const current = await openSegment(options, recovered.nextSequence);
  const journal = new FileJournal(options, recovered, current);
  try {
    await settleOrphans(options, journal, recovered);
  } catch (error) {
    await journal.close().catch(() => {});
    throw error;
  }
  return journal;
}
