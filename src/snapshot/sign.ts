// Signatures of snapshot manifests: Ed25519 over the canonical JSON of everything but the signature.
// Invariant: the key pair comes from a 32-byte seed (derived from the master key), so that control and its gateways agree without a transfer.

import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from "node:crypto";
import { SECTION_NAMES, type SnapshotManifest } from "./types.ts";

/** DER header of a PKCS#8 Ed25519 private key, RFC 8410. */
const PKCS8_HEADER = Buffer.from("302e020100300506032b657004220420", "hex");

export interface SigningKeys {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

export function signingKeysFrom(seed: Uint8Array): SigningKeys {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8_HEADER, seed]),
    format: "der",
    type: "pkcs8",
  });
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

type Unsigned = Omit<SnapshotManifest, "signature">;

/** Field order is fixed here, so that both sides sign the same bytes whatever their JSON library does. */
function canonicalBytes(manifest: Unsigned): Uint8Array {
  const sections = SECTION_NAMES.map((name) => [name, manifest.sections[name]]);
  return Buffer.from(
    JSON.stringify([
      manifest.format,
      manifest.sequence,
      manifest.compiledAtMs,
      manifest.ageMaxMs,
      sections,
    ]),
  );
}

export function signManifest(manifest: Unsigned, privateKey: KeyObject): SnapshotManifest {
  return {
    ...manifest,
    signature: sign(null, canonicalBytes(manifest), privateKey).toString("base64"),
  };
}

export function verifyManifest(manifest: SnapshotManifest, publicKey: KeyObject): boolean {
  return verify(
    null,
    canonicalBytes(manifest),
    publicKey,
    Buffer.from(manifest.signature, "base64"),
  );
}
