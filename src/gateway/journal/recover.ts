// What a journal folder holds when a process starts: sealed segments, files that a dead process left open, the checkpoint.
// Invariants: a torn tail is cut, nothing whole is dropped; a leftover file is sealed as it is, under the epoch that wrote it, and
// in its place in the sequence or not at all: then an Error names it, and nothing was changed.

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
  readonly digest: string;
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
  intents: OpenIntents,
): Promise<Sealed> {
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
  const frames = bytes.subarray(0, wholeBytes);
  const segment = encodeSegment(header, frames);
  const path = join(folder, sealedName(sequence));
  await files.replace(path, segment);
  await files.remove(join(folder, name));
  applyFrames(frames, sequence, intents);
  return { header, path, byteLength: segment.length, digest: segmentDigest(segment) };
}

/**
 * The open files that the next segments are made of, in order, and those that hold nothing to seal: sealed before a crash came,
 * or empty at the end. One in the middle is kept even when empty, since the sequence has no gaps.
 */
async function sortLeftovers(
  { files, folder }: RecoverOptions,
  names: readonly string[],
  tail: number,
  last: number,
): Promise<{ readonly useful: readonly string[]; readonly unused: readonly string[] }> {
  const useful: string[] = [];
  const unused: string[] = [];
  let empty: string[] = [];
  for (const name of names.filter((each) => each.endsWith(".open"))) {
    const sequence = sequenceOf(name);
    const isSealed = sequence <= tail || names.includes(sealedName(sequence));
    const isEmpty = isSealed || scanFrames(await files.read(join(folder, name))).wholeBytes === 0;
    if (isSealed || (isEmpty && sequence < last)) unused.push(name);
    else if (isEmpty) empty.push(name);
    else {
      const path = join(folder, name);
      if (sequence < last)
        throw new Error(
          `${path} holds records, but later ones (up to ${last}) were sealed without it`,
        );
      useful.push(...empty, name);
      empty = [];
      if (sequence !== last + useful.length)
        throw new Error(
          `${path} holds records, but ${openName(last + 1)} or one after it is missing`,
        );
    }
  }
  return { useful, unused: [...unused, ...empty] };
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

  const segments = names.filter((name) => name.endsWith(".segment"));
  const kept = segments.filter((name) => sequenceOf(name) > tail.sequence);
  const newest = kept.at(-1);
  const last = newest === undefined ? tail.sequence : sequenceOf(newest);
  const { useful, unused } = await sortLeftovers(options, names, tail.sequence, last);

  const sealed: Sealed[] = [];
  for (const name of kept) {
    const path = join(folder, name);
    const bytes = await files.read(path);
    const { header, frames } = openSealed(path, bytes);
    applyFrames(frames, header.sequence, intents);
    sealed.push({ header, path, byteLength: bytes.length, digest: segmentDigest(bytes) });
  }
  // A crash between writing the tail and deleting leaves segments that are already acknowledged.
  const acknowledged = segments.filter((name) => !kept.includes(name));
  const halfWritten = names.filter((name) => name.endsWith(".new"));
  for (const name of [...acknowledged, ...unused, ...halfWritten])
    await files.remove(join(folder, name));
  let digest = sealed.at(-1)?.digest ?? tail.digest;
  for (const name of useful) {
    const leftover = await sealLeftover(options, name, digest, intents);
    sealed.push(leftover);
    digest = leftover.digest;
  }
  return { sealed, intents, nextSequence: last + useful.length + 1, lastDigest: digest };
}
