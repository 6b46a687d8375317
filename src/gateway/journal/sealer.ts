// Full segments become sealed ones, oldest first, and sealed ones go when control has them.
// Invariants: one that cannot be sealed holds up all after it, since each is chained to the one before; a segment is deleted
// only after "committed up to n", and never before the checkpoint holds the open intents that it held.

import { join } from "node:path";
import { encodeRecord } from "../../billing/metering/rules.ts";
import { encodeSegment, segmentDigest } from "../../billing/metering/segment.rules.ts";
import type { SegmentHeader } from "../../billing/metering/types.ts";
import { errorText, type Log } from "../../kit/log.ts";
import type { OpenIntents } from "./open-intents.state.ts";
import { closeFile, toFrames, type JournalPlace, type OpenSegment } from "./open-segment.ts";
import { CHECKPOINT, openName, sealedName, TAIL, type Recovered, type Sealed } from "./recover.ts";

export interface SealerOptions extends JournalPlace {
  readonly gateway: string;
  readonly lane: number;
  readonly epoch: number;
  readonly log: Log;
}

const BLOCK_BYTES = 4_096;
/** Many small files take more room than their bytes. */
export const onDisk = (bytes: number) => Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;

const isMissing = (error: unknown) =>
  error instanceof Error && "code" in error && error.code === "ENOENT";

export class Sealer {
  readonly #options: SealerOptions;
  readonly #intents: OpenIntents;
  readonly #sealed: Sealed[];
  readonly #waiting: OpenSegment[] = [];
  readonly #listeners: (() => void)[] = [];
  /** Files that could not be removed. */
  #leftBehind: string[] = [];
  #lastDigest: string;
  #epoch: number;
  #bytes: number;

  constructor(options: SealerOptions, recovered: Recovered) {
    this.#options = options;
    this.#intents = recovered.intents;
    this.#sealed = [...recovered.sealed];
    this.#lastDigest = recovered.lastDigest;
    this.#epoch = options.epoch;
    this.#bytes = recovered.sealed.reduce((sum, { byteLength }) => sum + onDisk(byteLength), 0);
  }

  pending = (): readonly Sealed[] => this.#sealed;
  onSealed = (listener: () => void) => void this.#listeners.push(listener);
  setEpoch = (epoch: number) => void (this.#epoch = epoch);

  /** What it holds on disk, sealed or not. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many are full and not sealed. */
  get waiting(): number {
    return this.#waiting.length;
  }

  take(full: OpenSegment): void {
    this.#waiting.push(full);
    this.#bytes += onDisk(full.bytes);
  }

  /** Seals the oldest; when that fails it stays the oldest. */
  async sealNext(): Promise<void> {
    const [full] = this.#waiting;
    if (full === undefined) return;
    const { files, folder } = this.#options;
    await closeFile(full);
    const header = this.#headerOf(full);
    const bytes = encodeSegment(header, Buffer.concat(full.frames, full.bytes));
    const path = join(folder, sealedName(full.sequence));
    await files.replace(path, bytes);
    const digest = segmentDigest(bytes);
    this.#lastDigest = digest;
    this.#waiting.shift();
    this.#sealed.push({ header, path, byteLength: bytes.length, digest });
    this.#bytes += onDisk(bytes.length) - onDisk(full.bytes);
    await this.#discard(join(folder, openName(full.sequence)));
    for (const listener of this.#listeners) listener();
  }

  #headerOf({ sequence, count, firstAtMs, lastAtMs }: OpenSegment): SegmentHeader {
    const { gateway, lane } = this.#options;
    const previousDigest = this.#lastDigest;
    const epoch = this.#epoch;
    return {
      format: 1,
      gateway,
      epoch,
      lane,
      sequence,
      previousDigest,
      count,
      firstAtMs,
      lastAtMs,
    };
  }

  /** A restart removes what stays: nobody has to wait for it. */
  async #discard(path: string): Promise<void> {
    const { files, log } = this.#options;
    try {
      await files.remove(path);
    } catch (error) {
      if (isMissing(error)) return;
      this.#leftBehind.push(path);
      log.warn("journal.remove_failed", { path, reason: errorText(error) });
    }
  }

  async committed(sequence: number): Promise<void> {
    const newest = this.#sealed.findLast((sealed) => sealed.header.sequence <= sequence);
    if (newest === undefined) return;
    const { files, folder } = this.#options;
    const tail = { sequence: newest.header.sequence, digest: newest.digest };
    await files.replace(join(folder, CHECKPOINT), this.#checkpoint(tail.sequence));
    await files.replace(join(folder, TAIL), new TextEncoder().encode(JSON.stringify(tail)));
    const gone = this.#leftBehind;
    this.#leftBehind = [];
    for (let [first] = this.#sealed; first; [first] = this.#sealed) {
      if (first.header.sequence > tail.sequence) break;
      this.#sealed.shift();
      this.#bytes -= onDisk(first.byteLength);
      gone.push(first.path);
    }
    for (const path of gone) await this.#discard(path);
  }

  #checkpoint(sequence: number): Uint8Array {
    return toFrames(
      this.#intents.upTo(sequence).flatMap(({ fact, firstByteMs, quantities }) => {
        const { requestId, attempt } = fact;
        return [
          encodeRecord({ type: "intent", fact }),
          encodeRecord({ type: "progress", requestId, attempt, firstByteMs, quantities }),
        ];
      }),
    );
  }
}
