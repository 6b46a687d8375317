// The gateway's slices of limits and budgets: requests are admitted from them without a promise, the giver is asked ahead of need.
// Invariants: what is in use here is never more than what the giver counts as held here, except where a request used more than it
// had reserved; one take is under way at a time, whoever waits for it; without the giver, slices last 2/3 of their term.

import { partOf } from "../../billing/budgets/rules.ts";
import type {
  LeaseDeclaration,
  LeaseGive,
  LeaseGrant,
  LeaseResource,
  LeaseSource,
  Timers,
} from "../../billing/budgets/types.ts";
import type { Clock } from "../../kit/clock.ts";
import { planAsks, type PlannedAsk } from "./ask.rules.ts";
import { Slice } from "./slice.state.ts";
import { openSweeper } from "./sweeper.ts";
import { systemTimers } from "./timers.ts";
import type { LeaseHolder, LeaseRefusal, Need } from "./types.ts";

export interface HolderDeps {
  readonly source: LeaseSource;
  readonly clock: Clock;
  readonly timers?: Timers;
  /** How long a request may wait for the giver. */
  readonly waitMaxMs?: number;
}

interface Waiter {
  readonly needs: readonly Need[];
  readonly settle: (outcome: true | LeaseRefusal) => void;
}

const WAIT_MAX_MS = 2_000;
const WAITERS_MAX = 10_000;
const ASK_AGAIN_MS = 100;
const PREFETCH_AGAIN_MS = 1_000;

class Holder implements LeaseHolder {
  readonly #source: LeaseSource;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #waitMaxMs: number;
  readonly #slices = new Map<LeaseResource, Slice>();
  /** In the order of arrival. */
  readonly #waiters = new Set<Waiter>();
  /** How many of them wait for each. */
  readonly #waited = new Map<LeaseResource, number>();
  readonly #low = new Set<Slice>();
  readonly #sweeper: { close(): void };
  #asking = false;
  #planned = false;
  #cancelRetry = () => {};
  #termMs = 0;
  #reachedMs: number;
  #closed = false;

  constructor({ source, clock, timers = systemTimers, waitMaxMs = WAIT_MAX_MS }: HolderDeps) {
    this.#source = source;
    this.#clock = clock;
    this.#timers = timers;
    this.#waitMaxMs = waitMaxMs;
    this.#reachedMs = clock.monotonicMs();
    source.onSession(() => this.#declare());
    source.onRecall((resources) => this.#onRecall(resources));
    this.#sweeper = openSweeper({
      clock,
      timers,
      slices: this.#slices,
      isWaitedFor: ({ resource }) => this.#waited.has(resource),
      give: (gives) => source.give(gives),
      onTick: () => this.#serve(clock.monotonicMs()),
    });
  }

  reserve(needs: readonly Need[]): true | Promise<true | LeaseRefusal> {
    const nowMs = this.#clock.monotonicMs();
    if (!this.#covers(needs, nowMs)) return this.#wait(needs, nowMs);
    if (this.#waiters.size > 0 && needs.some(({ resource }) => this.#waited.has(resource))) {
      // What became free by itself is for those who came before.
      this.#serve(nowMs);
      if (!this.#covers(needs, nowMs)) return this.#wait(needs, nowMs);
    }
    this.#book(needs, nowMs);
    return true;
  }

  settle({ resource, amount }: Need, used: bigint): void {
    const slice = this.#slices.get(resource);
    if (slice === undefined) return;
    const nowMs = this.#clock.monotonicMs();
    const isFreed = slice.settle(amount, used, nowMs);
    if (slice.free(nowMs) < 0n) this.#prefetch(slice);
    if (!isFreed) return;
    if (this.#waited.has(resource)) this.#serve(nowMs);
    if (slice.isScarce || this.#closed) this.#giveIdle([slice], nowMs);
  }

  remaining(resource: LeaseResource): bigint | undefined {
    const slice = this.#slices.get(resource);
    if (slice === undefined) return undefined;
    const nowMs = this.#clock.monotonicMs();
    const free = slice.free(nowMs);
    if (slice.retryAfterMs(nowMs) > 0) return free > 0n ? free : 0n;
    const left = slice.limit - slice.used;
    return left > 0n ? left : 0n;
  }

  /** Everything idle goes home; the source can be closed afterwards. */
  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    this.#sweeper.close();
    this.#cancelRetry();
    for (const waiter of this.#waiters) this.#end(waiter, this.#unreachable(waiter.needs));
    this.#giveIdle(this.#slices.values(), this.#clock.monotonicMs());
    return Promise.resolve();
  }

  #hear(nowMs: number): void {
    if (this.#source.connected) this.#reachedMs = nowMs;
  }

  /** Slices of windows and permits are void when the giver was not heard of for too long. */
  #isUsable(nowMs: number): boolean {
    this.#hear(nowMs);
    return nowMs - this.#reachedMs < (this.#termMs * 2) / 3;
  }

  #covers(needs: readonly Need[], nowMs: number): boolean {
    const isUsable = this.#isUsable(nowMs);
    for (const { resource, amount, limit } of needs) {
      const slice = this.#slices.get(resource);
      if (slice === undefined) {
        if (!this.#coversOffline(undefined, resource, amount, limit)) return false;
        continue;
      }
      if (slice.free(nowMs) >= amount && !slice.exceeds(amount, limit))
        if (isUsable || slice.kind === "spend") continue;
      if (!this.#coversOffline(slice, resource, amount, limit)) return false;
    }
    return true;
  }

  /** The part that is this gateway's own while it is cut off; money never is. */
  #coversOffline(
    slice: Slice | undefined,
    resource: LeaseResource,
    amount: bigint,
    limit: bigint,
  ): boolean {
    if (this.#source.connected || resource.startsWith("spend:")) return false;
    const part = partOf(limit, this.#source.offlinePpm());
    return (slice?.used ?? 0n) + amount <= part;
  }

  #book(needs: readonly Need[], nowMs: number): void {
    for (const { resource, amount, limit } of needs) {
      const slice = this.#sliceOf(resource, nowMs);
      slice.reserve(amount, limit, nowMs);
      if (!slice.isScarce && slice.free(nowMs) < slice.demand) this.#prefetch(slice);
    }
  }

  #sliceOf(resource: LeaseResource, nowMs: number): Slice {
    let slice = this.#slices.get(resource);
    if (slice === undefined) {
      slice = new Slice(resource, nowMs);
      this.#slices.set(resource, slice);
    }
    return slice;
  }

  #wait(needs: readonly Need[], nowMs: number): Promise<true | LeaseRefusal> {
    const refusal = this.#judgeRefusal(needs, nowMs);
    if (refusal) return Promise.resolve(refusal);
    const isGone = !this.#source.connected && nowMs - this.#reachedMs >= this.#waitMaxMs;
    if (this.#closed || isGone || this.#waiters.size >= WAITERS_MAX)
      return Promise.resolve(this.#unreachable(needs));
    const { promise, resolve } = Promise.withResolvers<true | LeaseRefusal>();
    const cancel = this.#timers.after(this.#waitMaxMs, () =>
      this.#end(waiter, this.#unreachable(needs)),
    );
    const waiter: Waiter = {
      needs,
      settle: (outcome) => {
        cancel();
        resolve(outcome);
      },
    };
    this.#waiters.add(waiter);
    for (const { resource } of needs)
      this.#waited.set(resource, (this.#waited.get(resource) ?? 0) + 1);
    this.#plan();
    return promise;
  }

  #end(waiter: Waiter, outcome: true | LeaseRefusal): void {
    if (!this.#waiters.delete(waiter)) return;
    for (const { resource } of waiter.needs) {
      const others = (this.#waited.get(resource) ?? 1) - 1;
      if (others > 0) this.#waited.set(resource, others);
      else this.#waited.delete(resource);
    }
    waiter.settle(outcome);
  }

  #unreachable(needs: readonly Need[]): LeaseRefusal {
    const nowMs = this.#clock.monotonicMs();
    const missing = needs.find(
      ({ resource, amount }) => (this.#slices.get(resource)?.free(nowMs) ?? 0n) < amount,
    );
    const [first] = needs;
    const resource = missing?.resource ?? first?.resource ?? "requests:key:";
    return { ok: false, resource, retryAfterMs: this.#waitMaxMs, unreachable: true };
  }

  /** What is known to be refused without asking. */
  #judgeRefusal(needs: readonly Need[], nowMs: number): LeaseRefusal | undefined {
    for (const { resource, amount, limit } of needs) {
      const slice = this.#slices.get(resource);
      const isAlone = slice?.exceeds(amount, limit) ?? false;
      if (slice === undefined || !(isAlone || slice.isRefused(amount, nowMs))) continue;
      const retryAfterMs = isAlone
        ? slice.fitsInMs(amount, limit, nowMs)
        : slice.retryAfterMs(nowMs);
      return { ok: false, resource, retryAfterMs, unreachable: false };
    }
    return undefined;
  }

  #prefetch(slice: Slice): void {
    if (this.#low.has(slice)) return;
    this.#low.add(slice);
    this.#plan();
  }

  /** In the next microtask, so that requests of one moment ask together. */
  #plan(): void {
    if (this.#planned || this.#asking || this.#closed) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      this.#ask();
    });
  }

  #planLater(ms: number): void {
    this.#cancelRetry();
    this.#cancelRetry = this.#timers.after(ms, () => this.#plan());
  }

  #ask(): void {
    if (this.#asking || this.#closed) return;
    const nowMs = this.#clock.monotonicMs();
    this.#serve(nowMs);
    const waiting = [...this.#waiters].map(({ needs }) => needs);
    const low = [...this.#low];
    this.#low.clear();
    const asks = planAsks(waiting, low, (resource) => this.#sliceOf(resource, nowMs), nowMs);
    if (asks.length === 0) {
      if (this.#waiters.size > 0) this.#planLater(this.#nextAskInMs(nowMs));
      return;
    }
    this.#asking = true;
    const wires = asks.map(({ resource, need, want }) => ({ resource, need, want }));
    this.#source.take(wires).then(
      (grants) => this.#answered(asks, grants),
      () => this.#unanswered(),
    );
  }

  #nextAskInMs(nowMs: number): number {
    const times = [...this.#waiters].flatMap(({ needs }) =>
      needs.map(({ resource }) => (this.#slices.get(resource)?.undecidedUntilMs ?? 0) - nowMs),
    );
    const waits = times.filter((ms) => ms > 0);
    return waits.length === 0 ? ASK_AGAIN_MS : Math.max(1, Math.min(...waits));
  }

  #answered(asks: readonly PlannedAsk[], grants: readonly LeaseGrant[]): void {
    this.#asking = false;
    const nowMs = this.#clock.monotonicMs();
    for (const [at, ask] of asks.entries()) {
      const grant = grants[at];
      if (grant) this.#receive(ask, grant, nowMs);
    }
    this.#serve(nowMs);
    this.#giveIdle(
      new Set(asks.map(({ slice }) => slice).filter(({ isScarce }) => isScarce)),
      nowMs,
    );
    if (this.#waiters.size + this.#low.size > 0) this.#plan();
  }

  #receive({ slice, need, isWaited }: PlannedAsk, grant: LeaseGrant, nowMs: number): void {
    if (grant.termMs > 0) this.#termMs = grant.termMs;
    slice.receive(grant);
    if (grant.amount > 0n) return;
    const { mode, retryAfterMs } = grant;
    if (!isWaited) slice.aheadAtMs = nowMs + PREFETCH_AGAIN_MS;
    else if (mode === "exhausted") slice.refuse(need, retryAfterMs, nowMs);
    else slice.undecidedUntilMs = nowMs + Math.max(1, retryAfterMs);
  }

  #unanswered(): void {
    this.#asking = false;
    this.#serve(this.#clock.monotonicMs());
    if (this.#waiters.size > 0) this.#planLater(ASK_AGAIN_MS);
  }

  /** Whoever can go on or is refused by now; the first come first. */
  #serve(nowMs: number): void {
    this.#hear(nowMs);
    for (const waiter of this.#waiters) {
      if (this.#covers(waiter.needs, nowMs)) {
        this.#book(waiter.needs, nowMs);
        this.#end(waiter, true);
        continue;
      }
      const refusal = this.#judgeRefusal(waiter.needs, nowMs);
      if (refusal) this.#end(waiter, refusal);
    }
  }

  #giveIdle(slices: Iterable<Slice>, nowMs: number): void {
    const gives: LeaseGive[] = [];
    for (const slice of slices) {
      if (this.#waited.has(slice.resource)) continue;
      const amount = slice.takeIdle(nowMs);
      if (amount > 0n) gives.push({ resource: slice.resource, amount });
    }
    if (gives.length > 0) this.#source.give(gives);
  }

  #onRecall(resources: readonly LeaseResource[]): void {
    const called = resources.flatMap((resource) => this.#slices.get(resource) ?? []);
    for (const slice of called) slice.isScarce = true;
    this.#giveIdle(called, this.#clock.monotonicMs());
  }

  #declare(): readonly LeaseDeclaration[] {
    const nowMs = this.#clock.monotonicMs();
    const isVoid = this.#termMs > 0 && nowMs - this.#reachedMs >= (this.#termMs * 2) / 3;
    return [...this.#slices.values()].flatMap((slice) => {
      const amount = slice.declare(nowMs, isVoid);
      return amount > 0n ? [{ resource: slice.resource, amount }] : [];
    });
  }
}

export function openLeaseHolder(deps: HolderDeps): LeaseHolder & { close(): Promise<void> } {
  return new Holder(deps);
}
