// What the request walk hands from step to step.
// Invariant: an Exchange is made once per request and holds the one snapshot that every step reads.

import type {
  Endpoint,
  Fact,
  FactStatus,
  Quantity,
  ServedTier,
} from "../billing/metering/types.ts";
import type { PriceVersion } from "../billing/prices/types.ts";
import type { Clock, Dice } from "../kit/clock.ts";
import type { FaultCode } from "../kit/fault.ts";
import type { EngineId, RequestId } from "../kit/id.ts";
import type { Log } from "../kit/log.ts";
import type {
  SnapshotEngine,
  SnapshotKey,
  SnapshotModel,
  SnapshotReader,
  SnapshotTenant,
} from "../snapshot/types.ts";
import type { LoadLedger } from "../zones/routing/load.state.ts";
import type { Journal } from "./journal/journal.ts";
import type { LeaseHolder, Need } from "./leases/types.ts";
import type { UpstreamClient } from "./upstreams/openai/client.ts";

export interface GatewayDeps {
  readonly snapshot: () => SnapshotReader | undefined;
  /** HMAC-SHA-256(key-hmac, token), hexadecimal. */
  readonly tokenHmac: (token: string) => string;
  readonly journal: Pick<Journal, "append" | "appendLazy" | "healthy">;
  readonly leases: LeaseHolder;
  readonly load: LoadLedger;
  readonly upstream: UpstreamClient;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly log: Log;
  readonly observe: Observer;
  readonly limits: GatewayLimits;
}

/** A request at its end; `fact` is absent when nothing was dispatched or no attempt answered. */
export interface Ended {
  readonly exchange: Exchange;
  /** 0: the caller had left. */
  readonly httpStatus: number;
  readonly code?: FaultCode;
  readonly fact?: Fact;
  readonly events: number;
  readonly chunks: number;
}

export interface Observer {
  /** Each attempt, when it is settled. */
  attempt(fact: Fact, target: Target): void;
  /** Each request, once. */
  ended(ended: Ended): void;
}

export interface GatewayLimits {
  readonly bodyBytesMax: number;
  /** A connection that is silent for this long is closed, and one whose head is not whole after three times this. */
  readonly idleMs: number;
  readonly bodyTimeoutMs: number;
  readonly answerBytesMax: number;
  readonly attemptsMax: number;
  /** How long a stream whose caller left is read on, to learn its usage. */
  readonly drainMs: number;
  /** How long the upstream may be silent in the middle of its answer. */
  readonly chunkTimeoutMs: number;
  /** How long a stream waits for a caller who does not read. */
  readonly callerTimeoutMs: number;
}

export const DEFAULT_LIMITS: GatewayLimits = {
  bodyBytesMax: 20 * 1024 * 1024,
  idleMs: 32_000,
  bodyTimeoutMs: 30_000,
  answerBytesMax: 64 * 1024 * 1024,
  attemptsMax: 3,
  drainMs: 1_000,
  chunkTimeoutMs: 120_000,
  callerTimeoutMs: 300_000,
};

export interface Caller {
  readonly key: SnapshotKey;
  readonly tenant: SnapshotTenant;
}

/** The request as read and checked; `bytes` is what the caller sent. */
export interface Reading {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly model: string;
  readonly streamed: boolean;
  /** The caller asked for a usage event on its stream. */
  readonly wantsUsage: boolean;
  /** The caller's own cap on one choice, and the field that says so; undefined when there is none. */
  readonly outputCap: { readonly tokens: number; readonly field: string } | undefined;
  /** Answers that the upstream will write: choices times prompts; 0 for embeddings. */
  readonly choices: number;
  /** Parts of its messages that are no text. */
  readonly mediaParts: number;
  /** The bytes for an upstream that calls the model by this name, with usage asked for on streams; `cap` where nobody set one. */
  readonly bodyFor: (upstreamModel: string, cap?: number) => Uint8Array<ArrayBuffer>;
}

/** One place to try, best first. */
export interface Target {
  readonly engine: SnapshotEngine;
  readonly upstreamModel: string;
}

export interface Plan {
  readonly model: SnapshotModel;
  readonly price: PriceVersion;
  readonly targets: readonly Target[];
}

/** A request as the server hands it in. */
export interface Arrival {
  readonly endpoint: Endpoint;
  readonly request: Request;
  /** To be called when the answer is complete: from then on the connection may be closed for being idle. */
  readonly rest: () => void;
}

export interface Exchange extends Arrival {
  readonly id: RequestId;
  readonly snapshot: SnapshotReader;
  /** Wall clock, for the ledger. */
  readonly startedAtMs: number;
  /** Monotonic, for durations. */
  readonly startedAt: number;
}

/** Everything known when a target is dispatched. */
export interface Dispatch extends Exchange {
  readonly caller: Caller;
  readonly reading: Reading;
  readonly plan: Plan;
  readonly needs: readonly Need[];
  /** Set when what was reserved has been settled, so that it is never given back twice. */
  released: boolean;
}

/** One attempt on one engine. */
export interface Attempt {
  readonly number: number;
  readonly kind: Fact["attemptKind"];
  readonly target: Target;
}

/** How an attempt ended. */
export interface Outcome {
  readonly status: FactStatus;
  readonly httpStatus: number;
  readonly firstByteMs: number;
  readonly upstreamRequestId: string;
  /** As the answer told; standard where it told none. */
  readonly servedTier: ServedTier;
  readonly quantities: readonly Quantity[];
}

/** An upstream that gave no answer worth relaying. */
export interface UpstreamFailure {
  readonly ok: false;
  readonly code: FaultCode;
  readonly message: string;
  readonly engineId: EngineId;
  /** Another engine may do better. */
  readonly retryable: boolean;
  /** The caller left while the upstream was at work, and so the call was broken off. */
  readonly givenUp?: true;
  /** For the log only: it may name addresses inside the operator's network. */
  readonly detail?: string;
  readonly retryAfterSeconds?: number;
}
