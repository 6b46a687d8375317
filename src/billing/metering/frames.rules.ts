// Frames: how records lie in a journal file: [length u32][CRC-32 u32][payload]. Pure.
// Invariant: scanning stops at the first frame that is cut or whose checksum is wrong; everything before it is whole.

import { crc32 } from "node:zlib";

export const FRAME_HEAD_BYTES = 8;
/** No record of ours comes near this; a longer length is a torn frame. */
const PAYLOAD_BYTES_MAX = 64 * 1024;

function writeU32(target: Uint8Array, offset: number, value: number): void {
  target[offset] = value >>> 24;
  target[offset + 1] = value >>> 16;
  target[offset + 2] = value >>> 8;
  target[offset + 3] = value;
}

/** Writes one frame into `target` at `offset`; answers the offset after it. */
export function writeFrame(target: Uint8Array, offset: number, payload: Uint8Array): number {
  writeU32(target, offset, payload.length);
  writeU32(target, offset + 4, crc32(payload));
  target.set(payload, offset + FRAME_HEAD_BYTES);
  return offset + FRAME_HEAD_BYTES + payload.length;
}

export interface ScannedFrames {
  readonly payloads: readonly Uint8Array[];
  /** Bytes up to the end of the last whole frame. */
  readonly wholeBytes: number;
}

export function scanFrames(bytes: Uint8Array): ScannedFrames {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const payloads: Uint8Array[] = [];
  let at = 0;
  while (at + FRAME_HEAD_BYTES <= bytes.length) {
    const length = view.getUint32(at);
    const end = at + FRAME_HEAD_BYTES + length;
    if (length === 0 || length > PAYLOAD_BYTES_MAX || end > bytes.length) break;
    const payload = bytes.subarray(at + FRAME_HEAD_BYTES, end);
    if (crc32(payload) !== view.getUint32(at + 4)) break;
    payloads.push(payload);
    at = end;
  }
  return { payloads, wholeBytes: at };
}
