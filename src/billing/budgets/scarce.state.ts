// Which balances are decided hold by hold, when their idle slices were last called home, and how much of each budget is bound.
// Invariant: an entry that nobody has touched for ten minutes is forgotten, so memory follows the traffic.

import type { LeaseResource } from "./types.ts";

const KEPT_MS = 600_000;

interface Scarcity {
  touchedAtMs: number;
  recalledAtMs: number;
}

export class ScarceList {
  readonly #scarce = new Map<LeaseResource, Scarcity>();

  has(resource: LeaseResource): boolean {
    return this.#scarce.has(resource);
  }

  add(resource: LeaseResource, nowMs: number): void {
    const known = this.#scarce.get(resource);
    if (known) known.touchedAtMs = nowMs;
    else this.#scarce.set(resource, { touchedAtMs: nowMs, recalledAtMs: -Infinity });
  }

  delete(resource: LeaseResource): void {
    this.#scarce.delete(resource);
  }

  recalled(resource: LeaseResource, nowMs: number): void {
    const known = this.#scarce.get(resource);
    if (known) known.recalledAtMs = nowMs;
  }

  /** Infinity: never. */
  sinceRecallMs(resource: LeaseResource, nowMs: number): number {
    return nowMs - (this.#scarce.get(resource)?.recalledAtMs ?? -Infinity);
  }

  prune(nowMs: number): void {
    for (const [resource, { touchedAtMs }] of this.#scarce)
      if (nowMs - touchedAtMs > KEPT_MS) this.#scarce.delete(resource);
  }
}

/** Settled and granted of each spend budget when it was last asked for. */
export class Bounds {
  readonly #bounds = new Map<LeaseResource, { readonly bound: bigint; readonly atMs: number }>();

  set(resource: LeaseResource, bound: bigint, atMs: number): void {
    this.#bounds.set(resource, { bound, atMs });
  }

  prune(nowMs: number): void {
    for (const [resource, { atMs }] of this.#bounds)
      if (nowMs - atMs > KEPT_MS) this.#bounds.delete(resource);
  }

  *[Symbol.iterator](): Iterator<[LeaseResource, bigint]> {
    for (const [resource, { bound }] of this.#bounds) yield [resource, bound];
  }
}
