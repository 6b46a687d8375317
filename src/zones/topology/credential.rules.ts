// Opening a stored credential. Pure: the same bytes give the same text.
// Invariant: the engine's id is part of the seal, so a ciphertext copied to another engine's row opens nothing.

import type { EngineId } from "../../kit/id.ts";
import { unseal } from "../../kit/secret.ts";

/** `key`: deriveKey(master, 'credential'). Undefined: another key, another engine, or changed bytes. */
export function openCredential(
  key: Uint8Array,
  engineId: EngineId,
  sealed: Uint8Array,
): string | undefined {
  try {
    return new TextDecoder().decode(unseal(key, engineId, sealed));
  } catch {
    return undefined;
  }
}
