// Leases as the request walk sees them: reserve before dispatch, settle afterwards.

import type { LeaseResource } from "../../billing/budgets/types.ts";

export interface Need {
  readonly resource: LeaseResource;
  /** What the snapshot allows in all. */
  readonly limit: bigint;
  readonly amount: bigint;
}

export interface LeaseRefusal {
  readonly ok: false;
  readonly resource: LeaseResource;
  /** 0 when unknown. */
  readonly retryAfterMs: number;
  /** The giver could not be asked, so nothing is known. */
  readonly unreachable: boolean;
}

export interface LeaseHolder {
  /** All or nothing. Answers at once when local slices cover it, asks the giver otherwise. */
  reserve(needs: readonly Need[]): true | Promise<true | LeaseRefusal>;
  /** `used` may be less than reserved (the rest is free again) or more (booked as it is). */
  settle(need: Need, used: bigint): void;
  /** The most that can be left of it as far as this gateway knows, for rate-limit headers; undefined when it has never asked. */
  remaining(resource: LeaseResource): bigint | undefined;
}
