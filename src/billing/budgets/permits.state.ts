// Who holds how many permits (concurrent streams) of each limit: control's memory, given back with the holder's session.
// Invariant: a holder's count is never negative, and absent when it is zero.

import type { LeaseResource } from "./types.ts";

export interface Permits {
  held(resource: LeaseResource): bigint;
  elsewhere(resource: LeaseResource, gateway: string): bigint;
  add(resource: LeaseResource, gateway: string, amount: bigint): void;
  giveBack(resource: LeaseResource, gateway: string, amount: bigint): void;
  forget(gateway: string): void;
}

export function openPermits(): Permits {
  const holders = new Map<LeaseResource, Map<string, bigint>>();
  const change = (resource: LeaseResource, gateway: string, by: bigint) => {
    const counts = holders.get(resource) ?? new Map<string, bigint>();
    holders.set(resource, counts);
    const count = (counts.get(gateway) ?? 0n) + by;
    if (count > 0n) counts.set(gateway, count);
    else counts.delete(gateway);
    if (counts.size === 0) holders.delete(resource);
  };
  const held = (resource: LeaseResource) => {
    let sum = 0n;
    for (const count of holders.get(resource)?.values() ?? []) sum += count;
    return sum;
  };
  return {
    held,
    elsewhere: (resource, gateway) => held(resource) - (holders.get(resource)?.get(gateway) ?? 0n),
    add: change,
    giveBack: (resource, gateway, amount) => change(resource, gateway, -amount),
    forget: (gateway) => {
      for (const [resource, counts] of holders) {
        counts.delete(gateway);
        if (counts.size === 0) holders.delete(resource);
      }
    },
  };
}
