// Uplink: the versioned wire between a gateway and control. Four independent channels, each resumable: snapshot, leases, segments, feed.
// Invariant: the gateway opens every connection; control never dials a gateway.

import { z } from "zod";
import type { SegmentHeader } from "../billing/metering/types.ts";

export const UPLINK_VERSION = 1;
/** Control N also speaks N−1. */
export const UPLINK_VERSIONS_SERVED = [1] as const;

/** POST /uplink/v1/session: first call of a gateway's life; control gives a higher epoch each time. */
export const SessionRequest = z.object({
  uplinkVersion: z.int(),
  gateway: z.string().regex(/^gw_[0-9a-z]{26}$/),
  cell: z.string().max(63),
  /** Where control can send playground requests, e.g. http://127.0.0.1:4100. */
  address: z.string().max(200),
  productVersion: z.string().max(50),
});
export type SessionRequest = z.infer<typeof SessionRequest>;

export const SessionResponse = z.object({
  epoch: z.int(),
  /** Per lane: the last segment committed, 0 for none. */
  committed: z.record(z.string(), z.int()),
  heartbeatMs: z.int(),
});
export type SessionResponse = z.infer<typeof SessionResponse>;

/** GET /uplink/v1/stream?gateway=…&epoch=…: newline-delimited JSON, kept open. */
export type DownMessage =
  | { readonly type: "manifest"; readonly manifest: unknown }
  | { readonly type: "recall"; readonly resources: readonly string[] }
  | { readonly type: "feed"; readonly from: string; readonly body: unknown }
  | { readonly type: "heartbeat" };

/** POST /uplink/v1/leases. */
export const LeaseRequest = z.object({
  gateway: z.string(),
  epoch: z.int(),
  takes: z
    .array(z.object({ resource: z.string().max(200), need: z.string(), want: z.string() }))
    .max(1000),
  gives: z.array(z.object({ resource: z.string().max(200), amount: z.string() })).max(1000),
});
export type LeaseRequest = z.infer<typeof LeaseRequest>;

export const LeaseResponse = z.object({
  grants: z.array(
    z.object({
      resource: z.string(),
      amount: z.string(),
      termMs: z.number(),
      mode: z.enum(["ample", "scarce", "exhausted"]),
      retryAfterMs: z.number(),
    }),
  ),
});
export type LeaseResponse = z.infer<typeof LeaseResponse>;

/** POST /uplink/v1/segments (binary body: header + records) answers the cursor; idempotent. */
export const SegmentResponse = z.object({ lane: z.int(), committed: z.int() });
export type SegmentResponse = z.infer<typeof SegmentResponse>;

/** GET /uplink/v1/sections/:digest answers a section's bytes. */

/** The port that ships sealed segments (HOUSE seam 2/3): deletion only on "committed up to n". */
export interface SegmentSink {
  ship(header: SegmentHeader, bytes: Uint8Array): Promise<SegmentResponse>;
}
