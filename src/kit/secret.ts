// Secrets at rest: one 32-byte master key, derived keys by HKDF-SHA-256, AES-256-GCM envelopes bound to their row by AAD.
// Invariant: a ciphertext opens only with the AAD it was sealed with, so a row's secret cannot be moved to another row.

import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";

declare const masterBrand: unique symbol;
/** 32 bytes; from a file or the environment, never in the database. */
export type MasterKey = Uint8Array & { readonly [masterBrand]: true };

/** What each derived key is for; a new use gets a new name. */
export type SecretPurpose = "key-hmac" | "credential" | "session" | "uplink" | "signing" | "engine";

const FORMAT = 1;

/** Throws when the text is not 32 bytes of base64 or hex. */
export function parseMasterKey(text: string): MasterKey {
  const trimmed = text.trim();
  const bytes = /^[0-9a-f]{64}$/i.test(trimmed)
    ? Buffer.from(trimmed, "hex")
    : Buffer.from(trimmed, "base64");
  if (bytes.length !== 32)
    throw new Error("a master key is 32 bytes, as 64 hexadecimal characters or base64");
  return new Uint8Array(bytes) as MasterKey;
}

export function makeMasterKey(): MasterKey {
  return new Uint8Array(randomBytes(32)) as MasterKey;
}

export function deriveKey(master: MasterKey, purpose: SecretPurpose): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", master, "intertie", purpose, 32));
}

/** Layout: format byte, 12 bytes nonce, 16 bytes tag, ciphertext. */
export function seal(key: Uint8Array, aad: string, plain: Uint8Array): Uint8Array {
  const nonce = randomBytes(12);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.from(aad));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return new Uint8Array(Buffer.concat([Buffer.from([FORMAT]), nonce, cipher.getAuthTag(), body]));
}

/** Throws on a wrong key, a wrong AAD or a changed byte. */
export function unseal(key: Uint8Array, aad: string, sealed: Uint8Array): Uint8Array {
  if (sealed[0] !== FORMAT || sealed.length < 29) throw new Error("unknown envelope format");
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(1, 13));
  decipher.setAAD(Buffer.from(aad));
  decipher.setAuthTag(sealed.subarray(13, 29));
  return new Uint8Array(Buffer.concat([decipher.update(sealed.subarray(29)), decipher.final()]));
}

export function hmac(key: Uint8Array, text: string): Uint8Array {
  return new Uint8Array(createHmac("sha256", key).update(text).digest());
}

/** HMAC-SHA-256 in hexadecimal with one key, made ready once: the gateway asks it at each request. */
export function openHmac(key: Uint8Array): (text: string) => string {
  const keyed = new Bun.CryptoHasher("sha256", key);
  return (text) => keyed.copy().update(text).digest("hex");
}

/** Constant time for equal lengths, without making bytes of them first. */
export function equalTexts(left: string, right: string): boolean {
  if (left.length !== right.length) return false;
  let differing = 0;
  for (let index = 0; index < left.length; index += 1)
    differing |= left.charCodeAt(index) ^ right.charCodeAt(index);
  return differing === 0;
}

/** Constant time for equal lengths. */
export function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}
