// A sealed segment's bytes: magic, length of the header, the header as JSON, then the frames. Pure.
// Invariant: both ends of the uplink use this file; a header that does not fit its bytes is refused.

import { createHash } from "node:crypto";
import { z } from "zod";
import type { SegmentHeader } from "./types.ts";

const MAGIC = 0x49_54_53_31; // "ITS1"
const HEAD_BYTES = 8;
export const NO_DIGEST = "0".repeat(64);

const Header = z.strictObject({
  format: z.literal(1),
  gateway: z.string().regex(/^gw_[0-9a-z]{26}$/),
  epoch: z.int().min(0),
  lane: z.int().min(0),
  sequence: z.int().min(1),
  previousDigest: z.string().regex(/^[0-9a-f]{64}$/),
  count: z.int().min(0),
  firstAtMs: z.number(),
  lastAtMs: z.number(),
});

export function encodeSegment(header: SegmentHeader, frames: Uint8Array): Uint8Array {
  const head = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(HEAD_BYTES + head.length + frames.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, head.length);
  bytes.set(head, HEAD_BYTES);
  bytes.set(frames, HEAD_BYTES + head.length);
  return bytes;
}

/** Throws RangeError or a zod error when the bytes are no segment. */
export function decodeSegment(bytes: Uint8Array): {
  readonly header: SegmentHeader;
  readonly frames: Uint8Array;
} {
  if (bytes.length < HEAD_BYTES) throw new RangeError("too short for a segment");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== MAGIC) throw new RangeError("no segment of a known format");
  const end = HEAD_BYTES + view.getUint32(4);
  if (end > bytes.length) throw new RangeError("the segment's header is cut");
  const header = Header.parse(
    JSON.parse(new TextDecoder().decode(bytes.subarray(HEAD_BYTES, end))),
  );
  return { header, frames: bytes.subarray(end) };
}

/** Names the segment and links the next one to it. */
export function segmentDigest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
