// Time and dice as values, so that rules stay pure and tests decide what they return.
// Invariant: nothing outside this file and `main.ts` reads the system clock or random source directly.

import { randomFillSync } from "node:crypto";

export interface Clock {
  /** Wall time, milliseconds since 1970. */
  nowMs(): number;
  /** Never goes back; milliseconds with fraction, arbitrary origin. For leases and durations. */
  monotonicMs(): number;
}

export interface Dice {
  fill(bytes: Uint8Array): void;
  /** Uniform in [0, 1). */
  next(): number;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

const POOL_BYTES = 4_096;
const pool = new Uint8Array(POOL_BYTES);
let taken = POOL_BYTES;

/** Small asks, an id's above all, are served from a pool that is filled at once; no byte is given twice or kept. */
function fillRandomly(bytes: Uint8Array): void {
  if (bytes.length > 64) {
    randomFillSync(bytes);
    return;
  }
  if (taken + bytes.length > POOL_BYTES) {
    randomFillSync(pool);
    taken = 0;
  }
  for (let index = 0; index < bytes.length; index += 1) {
    bytes[index] = pool[taken + index] ?? 0;
    pool[taken + index] = 0;
  }
  taken += bytes.length;
}

export const systemDice: Dice = {
  fill: fillRandomly,
  next: () => Math.random(),
};

/** A clock that a test moves by hand; both readings move together. */
export function manualClock(startMs = 1_764_000_000_000): Clock & { advance(ms: number): void } {
  let now = startMs;
  return {
    nowMs: () => now,
    monotonicMs: () => now - startMs,
    advance: (ms) => {
      now += ms;
    },
  };
}

/** Repeatable dice (xorshift32), for tests and simulations only: not secret. */
export function seededDice(seed: number): Dice {
  let state = seed >>> 0 || 1;
  const next = () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 4_294_967_296;
  };
  return {
    next,
    fill: (bytes) => {
      for (let index = 0; index < bytes.length; index += 1) bytes[index] = Math.floor(next() * 256);
    },
  };
}
