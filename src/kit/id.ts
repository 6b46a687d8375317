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

/** 26 characters of base 32 from 16 bytes, first character carries 3 bits. */
export function encodeId(bytes: Uint8Array): string {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  let text = "";
  for (let index = 0; index < 26; index += 1) {
    text = ALPHABET.charAt(Number(value & 31n)) + text;
    value >>= 5n;
  }
  return text;
}

/** The 16 bytes behind an id's last 26 characters, or undefined when they are not base 32. */
export function decodeId(id: string): Uint8Array | undefined {
  const text = id.slice(id.lastIndexOf("_") + 1);
  if (text.length !== 26) return undefined;
  let value = 0n;
  for (const character of text) {
    const digit = ALPHABET.indexOf(character);
    if (digit < 0) return undefined;
    value = (value << 5n) | BigInt(digit);
  }
  if (value >> 128n !== 0n) return undefined;
  const bytes = new Uint8Array(16);
  for (let index = 15; index >= 0; index -= 1) {
    bytes[index] = Number(value & 255n);
    value >>= 8n;
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
