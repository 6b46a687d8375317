// Metering: the one fact that every attempt leaves behind, and the meters that it counts.
// Invariant: codes below are part of the binary format (v1); entries are only ever appended, never renumbered.

import type { RequestId } from "../../kit/id.ts";

/** Index = code in the binary fact. `input` and `output` exclude the cached and reasoning parts counted beside them. */
export const METERS = [
  "input_tokens",
  "cached_input_tokens",
  "cache_write_tokens",
  "output_tokens",
  "reasoning_tokens",
  "requests",
  "audio_input_tokens",
  "audio_output_tokens",
  "images",
  "characters",
  "seconds",
] as const;
export type Meter = (typeof METERS)[number];

/** How a quantity is known: told by the upstream, counted by us from what was relayed, or estimated. */
export const QUANTITY_SOURCES = ["reported", "counted", "estimated"] as const;
export type QuantitySource = (typeof QUANTITY_SOURCES)[number];

export const ATTEMPT_KINDS = ["first", "retry", "fallback", "hedge", "rescue"] as const;
export type AttemptKind = (typeof ATTEMPT_KINDS)[number];

/** `refused_upstream`: the upstream answered an error before any output; `interrupted`: our process died with the request open. */
export const FACT_STATUSES = [
  "ok",
  "refused_upstream",
  "failed",
  "cut",
  "caller_left",
  "interrupted",
] as const;
export type FactStatus = (typeof FACT_STATUSES)[number];

export const ENDPOINTS = ["chat", "completions", "embeddings"] as const;
export type Endpoint = (typeof ENDPOINTS)[number];

export const SERVED_TIERS = ["standard", "batch", "flex", "priority", "reserved"] as const;
export type ServedTier = (typeof SERVED_TIERS)[number];

export interface Quantity {
  readonly meter: Meter;
  readonly amount: bigint;
  readonly source: QuantitySource;
}

/** Refs are the small integers that the snapshot gives to rows (`Key.ref` …); 0 means none. */
export interface Fact {
  readonly requestId: RequestId;
  readonly attempt: number;
  readonly attemptKind: AttemptKind;
  readonly endpoint: Endpoint;
  readonly status: FactStatus;
  /** What the caller saw; 0 when the caller had left. */
  readonly httpStatus: number;
  readonly streamed: boolean;
  readonly firmRef: number;
  readonly organisationRef: number;
  readonly projectRef: number;
  readonly keyRef: number;
  readonly modelVersionRef: number;
  readonly zoneRef: number;
  readonly engineRef: number;
  readonly priceVersionRef: number;
  readonly snapshotSequence: bigint;
  readonly servedTier: ServedTier;
  /** ISO 3166-1 alpha-2, or 'ZZ' when unknown. */
  readonly callerJurisdiction: string;
  readonly zoneJurisdiction: string;
  /** Wall clock of the gateway, milliseconds. */
  readonly startedAtMs: number;
  /** From arrival to the first byte relayed; -1 when none was. */
  readonly firstByteMs: number;
  readonly durationMs: number;
  /** As the upstream named it (`x-request-id` or body id), at most 128 bytes; '' when it named none. */
  readonly upstreamRequestId: string;
  readonly quantities: readonly Quantity[];
}

/** Journal records. An intent is written before dispatch, progress in batches, settle before the last byte goes out. */
export type JournalRecord =
  | { readonly type: "intent"; readonly fact: Fact }
  | {
      readonly type: "progress";
      readonly requestId: RequestId;
      readonly attempt: number;
      readonly firstByteMs: number;
      readonly quantities: readonly Quantity[];
    }
  | { readonly type: "settle"; readonly fact: Fact };

/** Header of a journal segment (HOUSE seam 2). `sequence` is gapless per gateway and lane for ever, `epoch` only fences. */
export interface SegmentHeader {
  readonly format: 1;
  readonly gateway: string;
  readonly epoch: number;
  readonly lane: number;
  readonly sequence: number;
  /** SHA-256 of the previous segment's bytes, hexadecimal; 64 zeros for the first. */
  readonly previousDigest: string;
  readonly count: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}
