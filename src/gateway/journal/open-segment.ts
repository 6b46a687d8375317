// The file that records are appended to until it is full, and what of it is known to be on disk.
// Invariant: `bytes` counts what was synced; whatever a failed write left behind it is cut off before the next one.

import { join } from "node:path";
import { FRAME_HEAD_BYTES, writeFrame } from "../../billing/metering/frames.rules.ts";
import type { AppendFile, FilePort } from "../../kit/file-port.ts";
import { openName } from "./recover.ts";

export interface JournalPlace {
  readonly files: FilePort;
  readonly folder: string;
}

export interface OpenSegment {
  readonly sequence: number;
  readonly file: AppendFile;
  readonly frames: Uint8Array[];
  bytes: number;
  count: number;
  firstAtMs: number;
  lastAtMs: number;
  /** A write failed: behind `bytes` may lie anything. */
  torn: boolean;
  closed: boolean;
}

export async function openSegment(place: JournalPlace, sequence: number): Promise<OpenSegment> {
  const file = await place.files.openAppend(join(place.folder, openName(sequence)));
  const empty = { bytes: 0, count: 0, firstAtMs: 0, lastAtMs: 0 };
  return { sequence, file, frames: [], ...empty, torn: false, closed: false };
}

export function toFrames(payloads: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(
    payloads.reduce((sum, payload) => sum + FRAME_HEAD_BYTES + payload.length, 0),
  );
  let at = 0;
  for (const payload of payloads) at = writeFrame(bytes, at, payload);
  return bytes;
}

/** One write and one sync; when it rejects, nothing of it counts. */
export async function writeTo(
  segment: OpenSegment,
  payloads: readonly Uint8Array[],
  nowMs: () => number,
): Promise<void> {
  const bytes = toFrames(payloads);
  segment.torn = true;
  await segment.file.append(bytes);
  await segment.file.sync();
  segment.torn = false;
  segment.lastAtMs = nowMs();
  if (segment.count === 0) segment.firstAtMs = segment.lastAtMs;
  segment.frames.push(bytes);
  segment.bytes += bytes.length;
  segment.count += payloads.length;
}

/** Without this a restart would read on only up to what a failed write left, or count what was told to have failed. */
export async function mend(place: JournalPlace, segment: OpenSegment): Promise<void> {
  await place.files.truncate(join(place.folder, openName(segment.sequence)), segment.bytes);
  segment.torn = false;
}

/** Once, whatever it answers: everything in it was synced before. */
export async function closeFile(segment: OpenSegment): Promise<void> {
  if (segment.closed) return;
  segment.closed = true;
  await segment.file.close();
}
