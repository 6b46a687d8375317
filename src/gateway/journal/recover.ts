// What a journal folder holds when a process starts: sealed segments, files that a dead process left open, the checkpoint.
// Invariants: a torn tail is cut, nothing whole is dropped; a leftover file is sealed as it is, under the epoch that wrote it.

import { join } from "node:path";
import { scanFrames } from "../../billing/metering/frames.rules.ts";
import { decodeRecord } from "../../billing/metering/rules.ts";
import {
  decodeSegment,
  encodeSegment,
  NO_DIGEST,
  segmentDigest,
} from "../../billing/metering/segment.rules.ts";
import type { SegmentHeader } from "../../billing/metering/types.ts";
import type { FilePort } from "../../kit/file-port.ts";
import { openIntents, type OpenIntents } from "./open-intents.state.ts";

export interface Sealed {
  readonly header: SegmentHeader;
  readonly path: string;
  readonly byteLength: number;
}

export interface Recovered {
  readonly sealed: readonly Sealed[];
  readonly intents: OpenIntents;
  readonly nextSequence: number;
  readonly lastDigest: string;
}

export const sealedName = (sequence: number) => `${String(sequence).padStart(12, "0")}.segment`;
export const openName = (sequence: number) => `${String(sequence).padStart(12, "0")}.open`;
export const CHECKPOINT = "checkpoint";
/** Sequence and digest of the newest segment ever deleted: the chain goes on from there when the folder is empty. */
export const TAIL = "tail.json";

const sequenceOf = (name: string) => Number(name.slice(0, 12));

function applyFrames(frames: Uint8Array, sequence: number, intents: OpenIntents): void {
  for (const payload of scanFrames(frames).payloads) intents.apply(decodeRecord(payload), sequence);
}

async function readTail(
  files: FilePort,
  folder: string,
  names: readonly string[],
): Promise<{ sequence: number; digest: string }> {
  if (!names.includes(TAIL)) return { sequence: 0, digest: NO_DIGEST };
  // Only the journal writes this file.
  return JSON.parse(new TextDecoder().decode(await files.read(join(folder, TAIL)))) as {
    sequence: number;
    digest: string;
  };
}

export interface RecoverOptions {
  readonly files: FilePort;
  readonly folder: string;
  readonly gateway: string;
  readonly lane: number;
  /** The epoch that the dead process wrote under. */
  readonly epoch: number;
  readonly nowMs: number;
}

/** Seals what a dead process left open: its whole frames become the next segment. */
async function sealLeftover(
  options: RecoverOptions,
  name: string,
  previousDigest: string,
): Promise<{ sealed: Sealed; digest: string }> {
  const { files, folder, gateway, lane, epoch, nowMs } = options;
  const bytes = await files.read(join(folder, name));
  const { payloads, wholeBytes } = scanFrames(bytes);
  const sequence = sequenceOf(name);
  const header: SegmentHeader = {
    format: 1,
    gateway,
    epoch,
    lane,
    sequence,
    previousDigest,
    count: payloads.length,
    firstAtMs: nowMs,
    lastAtMs: nowMs,
  };
  const segment = encodeSegment(header, bytes.subarray(0, wholeBytes));
  const path = join(folder, sealedName(sequence));
  await files.replace(path, segment);
  await files.remove(join(folder, name));
  return { sealed: { header, path, byteLength: segment.length }, digest: segmentDigest(segment) };
}

/**
 * Removes open files that hold nothing to seal: those sealed before a crash came, and the empty ones at the end.
 * Answers the rest in order; a number in the middle is kept even when empty, since the sequence has no gaps.
 */
async function dropUnused(
  options: RecoverOptions,
  names: readonly string[],
  last: number,
): Promise<string[]> {
  const { files, folder } = options;
  const open = names.filter((name) => name.endsWith(".open"));
  const useful: string[] = [];
  let unused = open.filter((name) => sequenceOf(name) <= last);
  for (const name of open.filter((each) => sequenceOf(each) > last)) {
    const { wholeBytes } = scanFrames(await files.read(join(folder, name)));
    if (wholeBytes === 0) {
      unused.push(name);
      continue;
    }
    const earlier = unused.filter((each) => sequenceOf(each) > last);
    useful.push(...earlier, name);
    unused = unused.filter((each) => !earlier.includes(each));
  }
  for (const name of unused) await files.remove(join(folder, name));
  return useful;
}

/** Throws an Error that names the file: it is the operator's to keep or to move, and nothing of it may be skipped. */
function openSealed(path: string, bytes: Uint8Array): ReturnType<typeof decodeSegment> {
  try {
    return decodeSegment(bytes);
  } catch (cause) {
    throw new Error(`${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

/** Reads the folder in order, seals leftovers, answers the state to go on from. */
export async function recoverJournal(options: RecoverOptions): Promise<Recovered> {
  const { files, folder } = options;
  const names = await files.list(folder);
  const tail = await readTail(files, folder, names);
  const intents = openIntents();
  if (names.includes(CHECKPOINT))
    applyFrames(await files.read(join(folder, CHECKPOINT)), 0, intents);

  const sealed: Sealed[] = [];
  let { sequence: last, digest } = tail;
  for (const name of names.filter((each) => each.endsWith(".segment"))) {
    const bytes = await files.read(join(folder, name));
    const { header, frames } = openSealed(join(folder, name), bytes);
    // A crash between writing the tail and deleting leaves segments that are already acknowledged.
    if (header.sequence <= tail.sequence) {
      await files.remove(join(folder, name));
      continue;
    }
    applyFrames(frames, header.sequence, intents);
    sealed.push({ header, path: join(folder, name), byteLength: bytes.length });
    last = header.sequence;
    digest = segmentDigest(bytes);
  }
  for (const name of await dropUnused(options, names, last)) {
    const leftover = await sealLeftover(options, name, digest);
    const bytes = await files.read(leftover.sealed.path);
    applyFrames(decodeSegment(bytes).frames, leftover.sealed.header.sequence, intents);
    sealed.push(leftover.sealed);
    last = leftover.sealed.header.sequence;
    digest = leftover.digest;
  }
  for (const name of names.filter((each) => each.endsWith(".new")))
    await files.remove(join(folder, name));
  return { sealed, intents, nextSequence: last + 1, lastDigest: digest };
}
