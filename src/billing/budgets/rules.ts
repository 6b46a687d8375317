// How much of a balance a gateway gets. Pure.
// Invariant: a grant is either 0 or at least what is needed, and never more than what is free.

import type { LeaseKind, LeaseMode, LeaseResource, LeaseTerms } from "./types.ts";

export const WINDOW_MS = 60_000;
export const PPM = 1_000_000;

/** A cut-off gateway serves limited keys for 10 minutes (2/3); a machine lost for good keeps its slices from others for 16. */
export const LEASE_TERMS: LeaseTerms = { windowTermMs: 900_000, lostMs: 6_000, shareMs: 900_000 };

/** After so long without a confirmed exchange nothing that a gateway once held can count any more. */
export function lapseMs({ lostMs, windowTermMs, shareMs }: LeaseTerms): number {
  return lostMs + Math.max(windowTermMs, shareMs) + WINDOW_MS;
}

/** Below this many typical holds a balance is scarce; from four times as many on it is ample again. */
const SCARCE_HOLDS: Readonly<Record<LeaseKind, bigint>> = { window: 16n, permits: 4n, spend: 128n };
/** How long a recall may take to bring idle slices home, and how long no other one is sent. */
const RECALL_WAIT_MS = 150;
const RECALL_AGAIN_MS = 2_000;
const RECALL_POLL_MS = 25;

export function kindOf(resource: LeaseResource): LeaseKind {
  if (resource.startsWith("spend:")) return "spend";
  return resource.startsWith("streams:") ? "permits" : "window";
}

/** `spend:project:<project>:<month>` taken apart; undefined for the other kinds. */
export function spendPartsOf(
  resource: string,
): { readonly projectId: string; readonly month: string } | undefined {
  const [kind, , projectId, month] = resource.split(":");
  return kind === "spend" && projectId !== undefined && month !== undefined
    ? { projectId, month }
    : undefined;
}

/** A part of a limit in millionths, rounded down: parts that sum to a million never sum to more than the limit. */
export function partOf(limit: bigint, ppm: number): bigint {
  return (limit * BigInt(ppm)) / BigInt(PPM);
}

export interface LeaseCase {
  readonly kind: LeaseKind;
  readonly free: bigint;
  readonly need: bigint;
  readonly want: bigint;
  /** Gateways that share the balance. */
  readonly gateways: number;
  readonly wasScarce: boolean;
  /** Slices of other gateways that might be idle. */
  readonly elsewhere: bigint;
  /** Infinity: never. */
  readonly sinceRecallMs: number;
}

export interface LeaseVerdict {
  readonly amount: bigint;
  readonly mode: LeaseMode;
  readonly recall: boolean;
  /** Set where the answer is only "ask again in a moment". */
  readonly retryAfterMs: number;
}

const min = (left: bigint, right: bigint) => (left < right ? left : right);
const max = (left: bigint, right: bigint) => (left > right ? left : right);

function isScarce({ kind, free, need, gateways, wasScarce }: LeaseCase): boolean {
  const threshold = SCARCE_HOLDS[kind] * max(need, 1n) * BigInt(Math.max(1, gateways));
  return free < (wasScarce ? threshold * 4n : threshold);
}

/** Ample balances are cut into slices; scarce ones are decided at the giver, hold by hold (plain leases collapse there). */
export function judgeLease(lease: LeaseCase): LeaseVerdict {
  const { free, need, want, gateways, wasScarce, elsewhere, sinceRecallMs } = lease;
  const scarce = isScarce(lease);
  if (free >= need) {
    const fair = max(need, free / BigInt(2 * Math.max(1, gateways)));
    const amount = scarce ? need : min(max(want, need), fair);
    const mode = scarce ? "scarce" : "ample";
    return { amount, mode, recall: scarce && !wasScarce && elsewhere > 0n, retryAfterMs: 0 };
  }
  const recall = elsewhere > 0n && sinceRecallMs >= RECALL_AGAIN_MS;
  if (recall || (elsewhere > 0n && sinceRecallMs < RECALL_WAIT_MS))
    return { amount: 0n, mode: "scarce", recall, retryAfterMs: RECALL_POLL_MS };
  return { amount: 0n, mode: "exhausted", recall: false, retryAfterMs: 0 };
}
