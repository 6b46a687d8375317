// What was granted of each per-minute limit and may still count in some 60 s: control's memory of windows.
// Invariant: an amount counts until 60 s after the last instant at which its taker may use it; what is given back is taken off
// the taker's oldest entries, so the rest is never forgotten too early.

import { WINDOW_MS } from "./rules.ts";
import type { LeaseResource } from "./types.ts";

interface Entry {
  readonly gateway: string;
  /** Which process of the gateway: a later one knows nothing of an earlier one's use. */
  readonly life: number;
  amount: bigint;
  /** The last instant of use. */
  usableUntilMs: number;
}

export interface WindowLog {
  counted(resource: LeaseResource, nowMs: number): bigint;
  /** Granted to others and not yet void. */
  elsewhere(resource: LeaseResource, gateway: string, nowMs: number): bigint;
  record(
    resource: LeaseResource,
    gateway: string,
    life: number,
    amount: bigint,
    usableUntilMs: number,
  ): void;
  giveBack(resource: LeaseResource, gateway: string, life: number, amount: bigint): void;
  /** Until `amount` would fit, when nothing else happens; 0: never by waiting alone. */
  freeInMs(resource: LeaseResource, room: bigint, amount: bigint, nowMs: number): number;
  /** Forgets what one life took: its own declaration replaces it. */
  forget(gateway: string, life: number): void;
}

/** Entries of one gateway that end within this long are kept as one, under the later end. */
const MERGE_MS = 1_000;

class Windows implements WindowLog {
  readonly #entries = new Map<LeaseResource, Entry[]>();

  #live(resource: LeaseResource, nowMs: number): Entry[] {
    const entries = this.#entries.get(resource);
    if (entries === undefined) return [];
    const live = entries.filter(
      (entry) => entry.amount > 0n && entry.usableUntilMs + WINDOW_MS > nowMs,
    );
    if (live.length === 0) this.#entries.delete(resource);
    else if (live.length < entries.length) this.#entries.set(resource, live);
    return live;
  }

  counted(resource: LeaseResource, nowMs: number): bigint {
    let sum = 0n;
    for (const entry of this.#live(resource, nowMs)) sum += entry.amount;
    return sum;
  }

  elsewhere(resource: LeaseResource, gateway: string, nowMs: number): bigint {
    let sum = 0n;
    for (const entry of this.#live(resource, nowMs))
      if (entry.gateway !== gateway && entry.usableUntilMs > nowMs) sum += entry.amount;
    return sum;
  }

  record(
    resource: LeaseResource,
    gateway: string,
    life: number,
    amount: bigint,
    usableUntilMs: number,
  ): void {
    const entries = this.#entries.get(resource) ?? [];
    this.#entries.set(resource, entries);
    const last = entries.findLast((entry) => entry.gateway === gateway && entry.life === life);
    // Measured from the entry's first end, so that a busy gateway does not push one entry along for ever.
    const slot = Math.ceil(usableUntilMs / MERGE_MS) * MERGE_MS;
    if (last?.usableUntilMs === slot) last.amount += amount;
    else entries.push({ gateway, life, amount, usableUntilMs: slot });
  }

  giveBack(resource: LeaseResource, gateway: string, life: number, amount: bigint): void {
    let rest = amount;
    for (const entry of this.#entries.get(resource) ?? []) {
      if (entry.gateway !== gateway || entry.life !== life) continue;
      const part = entry.amount < rest ? entry.amount : rest;
      entry.amount -= part;
      rest -= part;
      if (rest === 0n) return;
    }
  }

  freeInMs(resource: LeaseResource, room: bigint, amount: bigint, nowMs: number): number {
    const live = this.#live(resource, nowMs).toSorted(
      (left, right) => left.usableUntilMs - right.usableUntilMs,
    );
    let free = room - live.reduce((sum, entry) => sum + entry.amount, 0n);
    for (const entry of live) {
      free += entry.amount;
      if (free >= amount) return entry.usableUntilMs + WINDOW_MS - nowMs;
    }
    return 0;
  }

  forget(gateway: string, life: number): void {
    for (const [resource, entries] of this.#entries) {
      const others = entries.filter((entry) => entry.gateway !== gateway || entry.life !== life);
      if (others.length === 0) this.#entries.delete(resource);
      else this.#entries.set(resource, others);
    }
  }
}

export function openWindowLog(): WindowLog {
  return new Windows();
}
