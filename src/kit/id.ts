// Prefixed, branded ids: `<prefix>_<26 characters>`, time-ordered (48 bits of milliseconds, 80 bits of dice), Crockford base 32.
// Invariant: ids are made without a database, and a prefix tells what an id names.

import type { Clock, Dice } from "./clock.ts";

declare const brand: unique symbol;
/** A string that the compiler keeps apart from other ids. */
export type Id<P extends string> = string & { readonly [brand]: P };

export type FirmId = Id<"firm">;
export type OrganisationId = Id<"org">;
export type ProjectId = Id<"proj">;
export type PersonId = Id<"person">;
export type KeyId = Id<"key">;
export type ZoneId = Id<"zone">;
export type PoolId = Id<"pool">;
export type EngineId = Id<"engine">;
export type ModelId = Id<"model">;
export type ModelVersionId = Id<"version">;
export type PriceVersionId = Id<"price">;
export type RequestId = Id<"req">;
export type GatewayId = Id<"gw">;

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

const DIGITS = new Int8Array(128).fill(-1);
for (let digit = 0; digit < 32; digit += 1) DIGITS[ALPHABET.charCodeAt(digit)] = digit;

/** 26 characters of base 32 from 16 bytes, first character carries 3 bits. */
export function encodeId(bytes: Uint8Array): string {
  let text = "";
  // 26 characters hold 130 bits: two zeros come before the first byte.
  let bits = 0;
  let held = 2;
  for (let index = 0; index < 16; index += 1) {
    bits = (bits << 8) | (bytes[index] ?? 0);
    for (held += 8; held >= 5;) {
      held -= 5;
      text += ALPHABET.charAt((bits >> held) & 31);
    }
    bits &= (1 << held) - 1;
  }
  return text;
}

/** The 16 bytes behind an id's last 26 characters, or undefined when they are not base 32. */
export function decodeId(id: string): Uint8Array | undefined {
  const start = id.lastIndexOf("_") + 1;
  if (id.length - start !== 26) return undefined;
  const bytes = new Uint8Array(16);
  let bits = 0;
  let held = -2;
  let filled = 0;
  for (let index = 0; index < 26; index += 1) {
    const digit = DIGITS[id.charCodeAt(start + index)] ?? -1;
    if (digit < 0 || (index === 0 && digit > 7)) return undefined;
    bits = (bits << 5) | digit;
    held += 5;
    if (held < 8) continue;
    held -= 8;
    bytes[filled] = bits >> held;
    filled += 1;
    bits &= (1 << held) - 1;
  }
  return bytes;
}

/** 16 bytes: 6 of time in milliseconds, 10 random. */
export function idBytes(clock: Clock, dice: Dice): Uint8Array {
  const bytes = new Uint8Array(16);
  dice.fill(bytes);
  let time = clock.nowMs();
  for (let index = 5; index >= 0; index -= 1) {
    bytes[index] = time % 256;
    time = Math.floor(time / 256);
  }
  return bytes;
}

export function makeId<P extends string>(prefix: P, clock: Clock, dice: Dice): Id<P> {
  // The brand exists only for the compiler; this is the one place that grants it to a fresh string.
  return `${prefix}_${encodeId(idBytes(clock, dice))}` as Id<P>;
}

/** Brands a string that came from our own storage or a validated input. */
export function asId<P extends string>(text: string): Id<P> {
  return text as Id<P>;
}
