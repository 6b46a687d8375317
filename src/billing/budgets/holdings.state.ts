// How much of each per-minute limit and of each limit of concurrent streams is in whose hands: control's memory.
// Invariants: an amount counts until its holder gives it back or its process has ended; of a window that ended process's amount
// counts 60 s longer, since all of it may just have been used.

import { WINDOW_MS, kindOf } from "./rules.ts";
import type { LeaseGive, LeaseResource } from "./types.ts";

interface Grant {
  readonly atMs: number;
  amount: bigint;
}

/** Oldest grants first: they are also the first to come back. */
interface Holding {
  total: bigint;
  grants: Grant[];
}

/** What ended processes may have used. */
interface Tail {
  readonly amount: bigint;
  readonly untilMs: number;
}

export interface Held extends LeaseGive {
  readonly gateway: string;
}

/** Grants of one holder are told apart by this much, and at most so many are: they only serve to say when to come back. */
const GRANT_MERGE_MS = 1_000;
const GRANTS_MAX = 64;

function take(holding: Holding, amount: bigint): void {
  let rest = amount < holding.total ? amount : holding.total;
  holding.total -= rest;
  while (rest > 0n) {
    const [oldest] = holding.grants;
    if (oldest === undefined) return;
    if (oldest.amount > rest) {
      oldest.amount -= rest;
      return;
    }
    rest -= oldest.amount;
    holding.grants.shift();
  }
}

function put(holding: Holding, amount: bigint, nowMs: number): void {
  holding.total += amount;
  const newest = holding.grants.at(-1);
  if (newest && (nowMs - newest.atMs < GRANT_MERGE_MS || holding.grants.length >= GRANTS_MAX))
    newest.amount += amount;
  else holding.grants.push({ atMs: nowMs, amount });
}

export class Holdings {
  readonly #holders = new Map<LeaseResource, Map<string, Holding>>();
  readonly #tails = new Map<LeaseResource, Tail[]>();

  #liveTails(resource: LeaseResource, nowMs: number): readonly Tail[] {
    const tails = this.#tails.get(resource);
    if (tails === undefined) return [];
    const live = tails.filter(({ untilMs }) => untilMs > nowMs);
    if (live.length === 0) this.#tails.delete(resource);
    else if (live.length < tails.length) this.#tails.set(resource, live);
    return live;
  }

  /** In all hands, ended processes' included. */
  held(resource: LeaseResource, nowMs: number): bigint {
    let sum = 0n;
    for (const { total } of this.#holders.get(resource)?.values() ?? []) sum += total;
    for (const { amount } of this.#liveTails(resource, nowMs)) sum += amount;
    return sum;
  }

  /** In the hands of these gateways. */
  heldBy(resource: LeaseResource, gateways: Iterable<string>): bigint {
    const holders = this.#holders.get(resource);
    let sum = 0n;
    if (holders) for (const gateway of gateways) sum += holders.get(gateway)?.total ?? 0n;
    return sum;
  }

  add(resource: LeaseResource, gateway: string, amount: bigint, nowMs: number): void {
    if (amount <= 0n) return;
    const holders = this.#holders.get(resource) ?? new Map<string, Holding>();
    this.#holders.set(resource, holders);
    const holding = holders.get(gateway) ?? { total: 0n, grants: [] };
    holders.set(gateway, holding);
    put(holding, amount, nowMs);
  }

  giveBack(resource: LeaseResource, gateway: string, amount: bigint): void {
    const holders = this.#holders.get(resource);
    const holding = holders?.get(gateway);
    if (!holders || !holding) return;
    take(holding, amount);
    if (holding.total === 0n) holders.delete(gateway);
    if (holders.size === 0) this.#holders.delete(resource);
  }

  /** Forgets what a gateway holds: nothing of it counts any more, or its own declaration follows. */
  drop(gateway: string): void {
    for (const [resource, holders] of this.#holders) {
      holders.delete(gateway);
      if (holders.size === 0) this.#holders.delete(resource);
    }
  }

  /** The gateway's process has ended: its streams with it, its use of the last minute not. */
  end(gateway: string, nowMs: number): void {
    for (const [resource, holders] of this.#holders) {
      const total = holders.get(gateway)?.total ?? 0n;
      if (total > 0n && kindOf(resource) === "window")
        this.addTail(resource, total, nowMs + WINDOW_MS, nowMs);
    }
    this.drop(gateway);
  }

  addTail(resource: LeaseResource, amount: bigint, untilMs: number, nowMs: number): void {
    this.#tails.set(resource, [...this.#liveTails(resource, nowMs), { amount, untilMs }]);
  }

  /** Until `amount` fits into `room`, if every holder used its slice when it got it; at least a second, at most a minute. */
  freeInMs(resource: LeaseResource, room: bigint, amount: bigint, nowMs: number): number {
    const ends = [
      ...[...(this.#holders.get(resource)?.values() ?? [])].flatMap(({ grants }) =>
        grants.map((grant) => ({ amount: grant.amount, atMs: grant.atMs + WINDOW_MS })),
      ),
      ...this.#liveTails(resource, nowMs).map((tail) => ({
        amount: tail.amount,
        atMs: tail.untilMs,
      })),
    ].toSorted((left, right) => left.atMs - right.atMs);
    let free = room - this.held(resource, nowMs);
    for (const end of ends) {
      free += end.amount;
      if (free >= amount) return Math.max(1_000, end.atMs - nowMs);
    }
    return WINDOW_MS;
  }

  *resources(): Iterable<LeaseResource> {
    yield* this.#holders.keys();
  }

  *rows(): Iterable<Held> {
    for (const [resource, holders] of this.#holders)
      for (const [gateway, { total }] of holders) yield { gateway, resource, amount: total };
  }

  *tails(nowMs: number): Iterable<Tail & { readonly resource: LeaseResource }> {
    for (const resource of this.#tails.keys())
      for (const tail of this.#liveTails(resource, nowMs)) yield { resource, ...tail };
  }
}
