// What this gateway has of one limit or budget: received, bound by requests in flight, used.
// Invariants: free = held − busy − spent; an amount of a window counts as spent until at least 60 s after its use, so a slice of n
// is never more than n in any 60 s; below 0 free only when a request used more than it had reserved.

import { WINDOW_MS, kindOf } from "../../billing/budgets/rules.ts";
import type { LeaseGrant, LeaseKind, LeaseResource } from "../../billing/budgets/types.ts";

/** Uses of a window within this long are freed together, at the end of their hour-glass. */
const SLOT_MS = 500;
const SECOND_MS = 1_000;
/** A refusal answers requests of its size without asking again; a stream may end any moment. */
const REMEMBER_MS: Readonly<Record<LeaseKind, number>> = {
  window: 1_000,
  permits: 100,
  spend: 1_000,
};

interface Slot {
  readonly freeAtMs: number;
  amount: bigint;
}

export class Slice {
  readonly resource: LeaseResource;
  readonly kind: LeaseKind;
  /** Requests a minute count when they begin, whatever becomes of them; all else counts when it is settled. */
  readonly #countsAtOnce: boolean;
  /** Received less given back, in the life of this process. */
  held = 0n;
  busy = 0n;
  spent = 0n;
  /** What the snapshot allowed when it was last asked for. */
  limit = 0n;
  /** What the last request needed. */
  typical = 1n;
  isScarce = false;
  /** Not decided at the giver: not to be asked for before. */
  undecidedUntilMs = 0;
  /** Nothing was left for later: not to be fetched ahead before. */
  aheadAtMs = 0;
  usedAtMs: number;
  #slots: Slot[] = [];
  #refusedAmount = 0n;
  #refusedUntilMs = 0;
  #retryAtMs = 0;
  #secondMs = 0;
  #thisSecond = 0n;
  #lastSecond = 0n;

  constructor(resource: LeaseResource, nowMs: number) {
    this.resource = resource;
    this.kind = kindOf(resource);
    this.#countsAtOnce = resource.startsWith("requests:");
    this.usedAtMs = nowMs;
  }

  get used(): bigint {
    return this.busy + this.spent;
  }

  free(nowMs: number): bigint {
    const [oldest] = this.#slots;
    if (oldest !== undefined && oldest.freeAtMs <= nowMs) this.#age(nowMs);
    return this.held - this.busy - this.spent;
  }

  #age(nowMs: number): void {
    const live = this.#slots.findIndex(({ freeAtMs }) => freeAtMs > nowMs);
    const over = this.#slots.splice(0, live < 0 ? this.#slots.length : live);
    for (const { amount } of over) this.spent -= amount;
    this.#refusedUntilMs = 0;
  }

  /** Whether this gateway by itself has used so much of the whole that `amount` is too much. */
  exceeds(amount: bigint, limit: bigint): boolean {
    return this.kind !== "spend" && this.used + amount > limit;
  }

  reserve(amount: bigint, limit: bigint, nowMs: number): void {
    this.limit = limit;
    this.typical = amount;
    this.usedAtMs = nowMs;
    this.#want(amount, nowMs);
    if (this.#countsAtOnce) this.#spend(amount, nowMs);
    else this.busy += amount;
  }

  /** Whether anything is free that was not before. */
  settle(amount: bigint, used: bigint, nowMs: number): boolean {
    if (this.#countsAtOnce) {
      if (used > amount) this.#spend(used - amount, nowMs);
      return false;
    }
    this.busy -= amount;
    if (this.kind !== "permits") this.#spend(used, nowMs);
    const isFreed = this.kind === "permits" || used < amount;
    if (isFreed) this.#refusedUntilMs = 0;
    return isFreed;
  }

  #spend(amount: bigint, nowMs: number): void {
    this.spent += amount;
    if (this.kind !== "window" || amount === 0n) return;
    const freeAtMs = (Math.floor(nowMs / SLOT_MS) + 1) * SLOT_MS + WINDOW_MS;
    const newest = this.#slots.at(-1);
    if (newest?.freeAtMs === freeAtMs) newest.amount += amount;
    else this.#slots.push({ freeAtMs, amount });
  }

  #want(amount: bigint, nowMs: number): void {
    const sinceMs = nowMs - this.#secondMs;
    if (sinceMs >= SECOND_MS) {
      this.#lastSecond = sinceMs < 2 * SECOND_MS ? this.#thisSecond : 0n;
      this.#thisSecond = 0n;
      this.#secondMs = nowMs;
    }
    this.#thisSecond += amount;
  }

  /** Asked for in about a second: as much should be free, or more is fetched. */
  get demand(): bigint {
    return this.#thisSecond > this.#lastSecond ? this.#thisSecond : this.#lastSecond;
  }

  receive({ amount, mode }: Pick<LeaseGrant, "amount" | "mode">): void {
    this.held += amount;
    this.isScarce = mode !== "ample";
  }

  /** Takes what is free out of this hand, to be given back. */
  takeIdle(nowMs: number): bigint {
    const idle = this.free(nowMs);
    if (idle <= 0n) return 0n;
    this.held -= idle;
    return idle;
  }

  /** For a session's begin. What was used beyond the slice is in hand from here on; what is void is not. */
  declare(nowMs: number, isVoid: boolean): bigint {
    const isShort = this.free(nowMs) < 0n;
    if (isShort || (isVoid && this.kind !== "spend")) this.held = this.used;
    return this.held;
  }

  refuse(amount: bigint, retryAfterMs: number, nowMs: number): void {
    const isKnown = nowMs < this.#refusedUntilMs && this.#refusedAmount <= amount;
    if (!isKnown) this.#refusedAmount = amount;
    const rememberMs = REMEMBER_MS[this.kind];
    const remembered = retryAfterMs > 0 ? Math.min(retryAfterMs, rememberMs) : rememberMs;
    this.#refusedUntilMs = nowMs + remembered;
    this.#retryAtMs = nowMs + retryAfterMs;
  }

  /** Whether the giver has just refused as much as is missing for `amount`. */
  isRefused(amount: bigint, nowMs: number): boolean {
    if (nowMs >= this.#refusedUntilMs) return false;
    return amount - this.free(nowMs) >= this.#refusedAmount;
  }

  /** Whether it makes sense to ask the giver for `missing` more. */
  mayAsk(missing: bigint, nowMs: number): boolean {
    const isRefused = nowMs < this.#refusedUntilMs && missing >= this.#refusedAmount;
    return !isRefused && nowMs >= this.undecidedUntilMs;
  }

  retryAfterMs(nowMs: number): number {
    return Math.max(0, this.#retryAtMs - nowMs);
  }

  /** When `amount` fits into the whole limit, as far as this gateway's own use goes. */
  fitsInMs(amount: bigint, limit: bigint, nowMs: number): number {
    if (this.kind !== "window" || amount > limit) return SECOND_MS;
    let used = this.used;
    for (const { freeAtMs, amount: freed } of this.#slots) {
      used -= freed;
      if (used + amount <= limit) return Math.max(1, freeAtMs - nowMs);
    }
    return SECOND_MS;
  }
}
