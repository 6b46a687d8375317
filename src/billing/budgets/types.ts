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

export interface LeaseAsk {
  readonly resource: LeaseResource;
  /** Least amount that helps; less than this is answered with 0. */
  readonly need: bigint;
  /** What the gateway would like, for about 2 s of its own demand. */
  readonly want: bigint;
}

/** The giver's view: `ample`: slices flow; `scarce`: exactly what is needed, asked at the giver; `exhausted`: nothing for now. */
export type LeaseMode = "ample" | "scarce" | "exhausted";

export interface LeaseGrant {
  readonly resource: LeaseResource;
  readonly amount: bigint;
  /** Unused amount is void after this long; a duration, judged by the taker's monotonic clock (it stops at 2/3). 0: no end. */
  readonly termMs: number;
  readonly mode: LeaseMode;
  /** When asking again can help; 0 when unknown. */
  readonly retryAfterMs: number;
}

export interface LeaseGive {
  readonly resource: LeaseResource;
  readonly amount: bigint;
}

/**
 * What a process says of itself when a session begins. Window: used in the last 60 s and still in hand; permits: in use;
 * spend: received less given back in the life of this process.
 */
export type LeaseDeclaration = LeaseGive;

/** The port (HOUSE seam 4). Adapters: in process (tests, one gateway), control over the uplink. */
export interface LeaseSource {
  /** Rejects when the giver cannot be asked. Amounts that arrive are the caller's, however late. */
  take(asks: readonly LeaseAsk[]): Promise<readonly LeaseGrant[]>;
  give(gives: readonly LeaseGive[]): void;
  /** Called when the giver wants idle slices back (scarce mode). */
  onRecall(listener: (resources: readonly LeaseResource[]) => void): void;
  /** Called at the start of each session; what it answers replaces what the giver knew of this process. */
  onSession(declare: () => readonly LeaseDeclaration[]): void;
  /** False while the giver cannot be reached, well before the giver gives this gateway up. */
  readonly connected: boolean;
  /** The part of every limit, in millionths, that may be used without the giver: 0 unless it has set that part aside. */
  offlinePpm(): number;
}

/** Durations that both sides of a lease session count with. */
export interface LeaseTerms {
  /** A slice of a window is void after this long. */
  readonly windowTermMs: number;
  /** Without a confirmed exchange for this long a gateway counts as lost. */
  readonly lostMs: number;
  /** How long a lost gateway's part of the limits stays set aside for it. */
  readonly shareMs: number;
}

/** One exchange of a session, numbered 1, 2, 3 …; the next is sent only when this one was answered, so none counts twice. */
export interface LeaseExchange {
  readonly gateway: string;
  readonly epoch: number;
  readonly sequence: number;
  /** The part that this gateway knows to be its own. */
  readonly sharePpm: number;
  /** In the first exchange only. */
  readonly declares: readonly LeaseDeclaration[];
  readonly takes: readonly LeaseAsk[];
  readonly gives: readonly LeaseGive[];
}

export interface LeaseAnswer {
  /** In the order of `takes`. */
  readonly grants: readonly LeaseGrant[];
  readonly sharePpm: number;
}

/** How a session began. */
export interface LeaseOpening {
  readonly gateway: string;
  readonly epoch: number;
  /** The epoch of this same process's session before; null: the process is new and holds nothing. */
  readonly resumes: number | null;
  /** The last journal sequence that can hold usage of earlier lives of this gateway. */
  readonly recoveredUpTo: number;
}

/** A gateway of whom control may have granted before it last started. */
export interface SeenGateway {
  readonly gateway: string;
  readonly agoMs: number;
  readonly left: boolean;
}
