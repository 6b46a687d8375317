// Keys: the vocabulary of credentials that callers present.
// Invariant: the secret exists only in the caller's hands; we keep HMAC-SHA-256(key-hmac, whole token) and never the token.

import { z } from "zod";
import type { KeyId, OrganisationId, ProjectId } from "../../kit/id.ts";

/** `live` and `test` call models; `admin` signs people and CLIs in to control; `play` is a short-lived key minted for a console session. */
export const KEY_KINDS = ["live", "test", "admin", "play"] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

/** Null: no limit of its own (the project's still holds). */
export const KeyLimits = z.strictObject({
  requestsPerMinute: z.int().min(1).max(10_000_000).nullable(),
  tokensPerMinute: z.int().min(1).max(1_000_000_000_000).nullable(),
  concurrentStreams: z.int().min(1).max(1_000_000).nullable(),
});
export type KeyLimits = z.infer<typeof KeyLimits>;

export interface Key {
  readonly id: KeyId;
  /** Small integer that facts use instead of the id. */
  readonly ref: number;
  readonly organisationId: OrganisationId;
  readonly projectId: ProjectId;
  readonly kind: KeyKind;
  readonly name: string;
  readonly limits: KeyLimits;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly createdAt: Date;
}

/** The parts of `it_<kind>_<keyid>_<secret><crc>`: keyid 26, secret 52 (256 bits), crc 7 (CRC-32) characters of base 32. */
export interface ParsedToken {
  readonly kind: KeyKind;
  readonly id: KeyId;
  readonly token: string;
}
