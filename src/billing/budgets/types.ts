// Budgets and limits are leased: control holds the balance, gateways hold slices, requests hold parts of slices.
// Invariant: nothing below control can create amount, so what is used never exceeds the limit over all gateways.

/** What a lease is of. Spend is in pico-dollars of one UTC month; the others refill or are given back. */
export type LeaseResource =
  | `requests:key:${string}`
  | `requests:project:${string}`
  | `tokens:key:${string}`
  | `tokens:project:${string}`
  | `streams:key:${string}`
  | `streams:project:${string}`
  | `spend:project:${string}:${string}`;

/** `window`: counted until 60 s after use; `permits`: held and given back; `spend`: debited for good, leftovers given back. */
export type LeaseKind = "window" | "permits" | "spend";

/** One ask; `limit` is the limit that the asking gateway's snapshot states, control refuses to trust it above its own. */
export interface LeaseAsk {
  readonly resource: LeaseResource;
  /** Least amount that helps; less than this is answered with 0. */
  readonly need: bigint;
  /** What the gateway would like, for about 2 s of its own demand. */
  readonly want: bigint;
}

export interface LeaseGrant {
  readonly resource: LeaseResource;
  readonly amount: bigint;
  /** Unused amount is void after this long; a duration, judged by the taker's monotonic clock (it stops at 2/3). */
  readonly termMs: number;
  /** Decided by the giver: in scarce mode ask for exactly what is needed. */
  readonly mode: "ample" | "scarce" | "exhausted";
  /** When asking again can help; 0 when unknown. */
  readonly retryAfterMs: number;
}

export interface LeaseGive {
  readonly resource: LeaseResource;
  readonly amount: bigint;
}

/** The port (HOUSE seam 4). Adapters: in process (tests, one gateway), control over the uplink. */
export interface LeaseSource {
  take(asks: readonly LeaseAsk[], deadlineMs: number): Promise<readonly LeaseGrant[]>;
  give(gives: readonly LeaseGive[]): void;
  /** Called when the giver wants idle slices back (scarce mode) or a limit changed. */
  onRecall(listener: (resources: readonly LeaseResource[]) => void): void;
  /** False while the giver cannot be reached. */
  readonly connected: boolean;
}
