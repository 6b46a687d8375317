// A sealed segment's bytes: magic, length of the header, the header as JSON, then the frames. Pure.
// Invariant: both ends of the uplink use this file; a header that does not fit its bytes is refused.

import { createHash } from "node:crypto";
import { z } from "zod";
import type { SegmentHeader } from "./types.ts";

const MAGIC = 0x49_54_53_31; // "ITS1"
const HEAD_BYTES = 8;
export const NO_DIGEST = "0".repeat(64);

const FORMAT = 1;
/** What of a header every format has. */
const Format = z.object({ format: z.int() });
const Header = z.strictObject({
  format: z.literal(FORMAT),
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

/** A later format need not look like ours, so it is judged before the rest. */
function headerIn(text: string): SegmentHeader {
  const parsed: unknown = JSON.parse(text);
  const { data } = Format.safeParse(parsed);
  if (data !== undefined && data.format !== FORMAT)
    throw new RangeError(
      `format ${data.format} is not one that this version reads (it reads ${FORMAT})`,
    );
  const header = Header.safeParse(parsed);
  if (header.success) return header.data;
  const [issue] = header.error.issues;
  throw new RangeError(
    `the segment's header: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`,
  );
}

/** Throws RangeError, or SyntaxError, when the bytes are no segment. */
export function decodeSegment(bytes: Uint8Array): {
  readonly header: SegmentHeader;
  readonly frames: Uint8Array;
} {
  if (bytes.length < HEAD_BYTES) throw new RangeError("too short for a segment");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== MAGIC) throw new RangeError("no segment of a known format");
  const end = HEAD_BYTES + view.getUint32(4);
  if (end > bytes.length) throw new RangeError("the segment's header is cut");
  const header = headerIn(new TextDecoder().decode(bytes.subarray(HEAD_BYTES, end)));
  return { header, frames: bytes.subarray(end) };
}

/** Names the segment and links the next one to it. */
export function segmentDigest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
