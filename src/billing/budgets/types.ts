// Budgets and limits are leased: control holds the balance, gateways hold slices, requests hold parts of slices.
// Invariant: nothing below control can create amount, so what is used never exceeds the limit over all gateways.

import { z } from "zod";

/** What a lease is of. Spend is in pico-dollars of one UTC month; the others refill or are given back. */
export type LeaseResource =
  | `requests:key:${string}`
  | `requests:project:${string}`
  | `tokens:key:${string}`
  | `tokens:project:${string}`
  | `streams:key:${string}`
  | `streams:project:${string}`
  | `spend:project:${string}:${string}`;

/**
 * What becomes of a slice in its taker's hand. `window`: an amount used is in hand again 60 s later, so a slice of n is n in any
 * 60 s; `permits`: in hand again when the request ends; `spend`: gone for good. What is in hand and not needed is given back.
 */
export type LeaseKind = "window" | "permits" | "spend";

export interface LeaseAsk {
  readonly resource: LeaseResource;
  /** Least amount that helps; less than this is answered with 0. */
  readonly need: bigint;
  /** What the gateway would like, for about 2 s of its own demand. */
  readonly want: bigint;
}

/**
 * The giver's view: `ample`: slices flow; `scarce`: exactly what is needed, asked at the giver, nothing kept idle (with amount 0:
 * not decided yet, ask again after `retryAfterMs`); `exhausted`: nothing for now.
 */
export type LeaseMode = "ample" | "scarce" | "exhausted";

export interface LeaseGrant {
  readonly resource: LeaseResource;
  readonly amount: bigint;
  /** How long all slices of this kind may be used without the giver; by the taker's monotonic clock (it stops at 2/3). 0: no end. */
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
 * What a process says of itself when a session begins: received less given back in its life, used or not (for spend that includes
 * what is used up). What an answer that was lost would have brought is not in it, what a lost request gave back neither.
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
  /** Slices of windows and permits may be used this long without the giver (the taker stops at 2/3). */
  readonly windowTermMs: number;
  /** Without a confirmed exchange for this long a gateway counts as lost. */
  readonly lostMs: number;
  /** How long the part that a lost gateway may use by itself stays set aside for it. */
  readonly shareMs: number;
}

/** Calls `work` once after that long, unless the function that it answers is called before. */
export interface Timers {
  after(ms: number, work: () => void): () => void;
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
  /** An earlier process of it ended at least this long ago, as far as is known; null: there was none. */
  readonly predecessorAgoMs: number | null;
}

/** Control's end: who may use how much. */
export interface LeaseGiver {
  /** A session begins; the gateway's earlier one ends. Throws `uplink.fenced` when a newer one has begun. */
  open(opening: LeaseOpening): Promise<void>;
  /** Throws `uplink.fenced` for an unknown or superseded epoch or a sequence that does not follow; then a new session is due. */
  exchange(exchange: LeaseExchange): Promise<LeaseAnswer>;
  /** The gateway's process ends properly; what it gave back was in an exchange before. */
  leave(gateway: string, epoch: number): Promise<void>;
  onRecall(listener: (gateway: string, resources: readonly LeaseResource[]) => void): void;
  /** Grants nothing from here on and leaves a note for the next start. */
  close(): Promise<void>;
}

// The pattern of the type itself.
const Resource = z.custom<LeaseResource>((text) => typeof text === "string" && text.length <= 200);
const Amount = z
  .string()
  .regex(/^\d{1,38}$/)
  .transform(BigInt);

/** What control knew when it stopped properly; durations count from `writtenAtMs` (wall clock). */
export const Handover = z.object({
  writtenAtMs: z.number(),
  absences: z.array(z.object({ gateway: z.string(), ppm: z.int(), forMs: z.number() })),
  held: z.array(z.object({ gateway: z.string(), resource: Resource, amount: Amount })),
  tails: z.array(z.object({ resource: Resource, amount: Amount, forMs: z.number() })),
});
export type Handover = z.infer<typeof Handover>;
