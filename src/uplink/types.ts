// Uplink: the versioned wire between a gateway and control. Four independent channels, each resumable: snapshot, leases, segments, feed.
// Invariants: the gateway opens every connection; what a later version adds is ignored by an earlier one; amounts are decimal strings.

import { z } from "zod";
import type { LeaseAnswer, LeaseExchange, LeaseResource } from "../billing/budgets/types.ts";
import type { SnapshotManifest } from "../snapshot/types.ts";
import type { LoadDelta } from "../zones/routing/types.ts";

export const UPLINK_VERSION = 1;
/** Control N also speaks N−1. */
export const UPLINK_VERSIONS_SERVED: readonly number[] = [1];

export const PATHS = {
  session: "/uplink/v1/session",
  stream: "/uplink/v1/stream",
  leases: "/uplink/v1/leases",
  segments: "/uplink/v1/segments",
  feed: "/uplink/v1/feed",
  leave: "/uplink/v1/leave",
  sections: "/uplink/v1/sections/",
} as const;

/** On every call, beside `authorization: Bearer …`. */
export const GATEWAY_HEADER = "x-intertie-gateway";
/** On every call of a session: its epoch. Control refuses a superseded one. */
export const EPOCH_HEADER = "x-intertie-epoch";

const Epoch = z.int().min(1);
const Sequence = z.int().min(0);
const Ppm = z.int().min(0).max(1_000_000);
const Text = z.string().max(200);
const Amount = z
  .string()
  .regex(/^\d{1,38}$/, "a whole number as a string")
  .transform(BigInt);
const Resource = z
  .string()
  .max(200)
  .regex(
    /^((requests|tokens|streams):(key|project):[^:]+|spend:project:[^:]+:\d{4}-\d{2})$/,
    "no resource of a lease",
  )
  // The pattern above is the union's own.
  .transform((text) => text as LeaseResource);

/** What of a session's request every version has. */
export const SessionVersion = z.object({ uplinkVersion: z.int() });

/** POST session: first call of a gateway's life and after every break; control gives a higher epoch each time. */
export const SessionRequest = z.object({
  uplinkVersion: z.int(),
  cell: z.string().min(1).max(63),
  /** Where control can send playground requests, e.g. http://127.0.0.1:4100. */
  address: Text,
  productVersion: z.string().max(50),
  /** The epoch of this same process's session before; null: the process is new and holds nothing. */
  resumes: Epoch.nullable(),
  /** The last journal sequence that can hold usage of earlier lives of this gateway. */
  recoveredUpTo: Sequence,
});
export type SessionRequest = z.infer<typeof SessionRequest>;

export const SessionResponse = z.object({
  epoch: Epoch,
  /** Per lane: the last segment committed, 0 for none. */
  committed: z.record(z.string(), Sequence),
  /** The stream is never silent for longer, and a lease exchange is due as often. */
  heartbeatMs: z.number().min(1),
  /** Control gives a gateway up, and keeps its part of the limits, after these (see LeaseTerms). */
  lostMs: z.number().min(1),
  shareMs: z.number().min(1),
});
export type SessionResponse = z.infer<typeof SessionResponse>;

/** Its format is judged before the rest: a later one must not pass for this one. */
export const Manifest = z.object({
  format: z.literal(1),
  sequence: z.int().min(1),
  compiledAtMs: z.number(),
  ageMaxMs: z.number(),
  sections: z.object({
    tenants: z.string(),
    keys: z.string(),
    models: z.string(),
    zones: z.string(),
    prices: z.string(),
  }),
  signature: z.string(),
}) satisfies z.ZodType<SnapshotManifest>;

/** POST feed. */
export const FeedDelta = z.object({
  cell: z.string().max(63),
  gateway: Text,
  epoch: Epoch,
  sequence: Sequence,
  expiresInMs: z.number().min(0).max(60_000),
  inFlight: z.record(Text, z.int().min(0)),
}) satisfies z.ZodType<LoadDelta>;

/** GET stream: newline-delimited JSON, kept open. Other types are ignored. */
export const DownMessage = z.discriminatedUnion("type", [
  z.object({ type: z.literal("manifest"), manifest: z.unknown() }),
  z.object({ type: z.literal("recall"), resources: z.array(Resource) }),
  /** How many other gateways of the cell listen to the feed. */
  z.object({ type: z.literal("peers"), count: z.int().min(0) }),
  z.object({ type: z.literal("feed"), delta: FeedDelta }),
  z.object({ type: z.literal("heartbeat") }),
]);
export type DownMessage = z.infer<typeof DownMessage>;
export const DOWN_TYPES: ReadonlySet<unknown> = new Set<DownMessage["type"]>([
  "manifest",
  "recall",
  "peers",
  "feed",
  "heartbeat",
]);

const Given = z.object({ resource: Resource, amount: Amount });
export const TAKES_MAX = 1_000;
export const GIVES_MAX = 10_000;
export const DECLARES_MAX = 100_000;

/** POST leases. Gateway and epoch are the headers'. */
export const LeaseRequest = z.object({
  sequence: z.int().min(1),
  sharePpm: Ppm,
  declares: z.array(Given).max(DECLARES_MAX),
  takes: z.array(z.object({ resource: Resource, need: Amount, want: Amount })).max(TAKES_MAX),
  gives: z.array(Given).max(GIVES_MAX),
}) satisfies z.ZodType<Omit<LeaseExchange, "gateway" | "epoch">>;
export type LeaseRequest = z.infer<typeof LeaseRequest>;

export const LeaseResponse = z.object({
  grants: z.array(
    z.object({
      resource: Resource,
      amount: Amount,
      termMs: z.number().min(0),
      mode: z.enum(["ample", "scarce", "exhausted"]),
      retryAfterMs: z.number().min(0),
    }),
  ),
  sharePpm: Ppm,
}) satisfies z.ZodType<LeaseAnswer>;

/** POST segments (binary body: one sealed segment) answers the lane's cursor; idempotent. */
export const SegmentResponse = z.object({ lane: z.int(), committed: Sequence });
export type SegmentResponse = z.infer<typeof SegmentResponse>;

/** GET sections/<digest> answers a section's bytes. Every refusal has this shape. */
export const Refusal = z.object({
  error: z.object({ code: z.string(), message: z.string(), field: z.string().optional() }),
});

/** Amounts as decimal strings: what the schemas above read back. */
export function toWire(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) =>
    typeof each === "bigint" ? each.toString() : each,
  );
}
