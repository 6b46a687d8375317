// The token format: `it_<kind>_<keyid 26>_<secret 52><crc 7>`, lower-case Crockford base 32. Pure.
// Invariant: a wrong character anywhere fails the checksum, so typos are refused without any look-up; the checksum is no
// security, the HMAC of the whole token is.

import { crc32 } from "node:zlib";
import { asId, type KeyId } from "../../kit/id.ts";
import { KEY_KINDS, type KeyKind, type ParsedToken } from "./types.ts";

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";
const PREFIX = "it_";
const ID_LENGTH = 26;
const SECRET_LENGTH = 52;
const CRC_LENGTH = 7;
const BODY = /^[0-9a-hjkmnp-tv-z]+$/;

export const SECRET_BYTES = 32;

/** Big-endian base 32, left-padded with zeros to `length` characters. */
function base32(value: bigint, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest >>= 5n)
    text = ALPHABET.charAt(Number(rest & 31n)) + text;
  return text;
}

function checksum(text: string): string {
  const value = crc32(text);
  let shown = "";
  for (let shift = 30; shift >= 0; shift -= 5) shown += ALPHABET.charAt((value >>> shift) & 31);
  return shown;
}

/** `secret`: 32 random bytes. */
export function makeToken(kind: KeyKind, id: KeyId, secret: Uint8Array): string {
  if (secret.length !== SECRET_BYTES)
    throw new RangeError(`a key's secret has ${SECRET_BYTES} bytes`);
  const value = secret.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const body = `${PREFIX}${kind}_${id.slice("key_".length)}_${base32(value, SECRET_LENGTH)}`;
  return `${body}${checksum(body)}`;
}

/** Undefined when the text is no token of ours or its checksum is wrong; no I/O, no secret compared. */
export function parseToken(text: string): ParsedToken | undefined {
  if (!text.startsWith(PREFIX)) return undefined;
  const kind = KEY_KINDS.find((each) => text.startsWith(`${each}_`, PREFIX.length));
  if (kind === undefined) return undefined;
  const idAt = PREFIX.length + kind.length + 1;
  const secretAt = idAt + ID_LENGTH + 1;
  const crcAt = secretAt + SECRET_LENGTH;
  if (text.length !== crcAt + CRC_LENGTH || text[secretAt - 1] !== "_") return undefined;
  const id = text.slice(idAt, idAt + ID_LENGTH);
  if (
    !BODY.test(id) ||
    !BODY.test(text.slice(secretAt)) ||
    checksum(text.slice(0, crcAt)) !== text.slice(crcAt)
  )
    return undefined;
  return { kind, id: asId<"key">(`key_${id}`), token: text };
}

/** What a person may see of a key afterwards: its kind and the start of its id. */
export function maskToken(kind: KeyKind, id: KeyId): string {
  return `${PREFIX}${kind}_${id.slice("key_".length)}_…`;
}
