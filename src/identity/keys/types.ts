// Keys: the vocabulary of credentials that callers present.
// Invariant: the secret exists only in the caller's hands; we keep HMAC-SHA-256(key-hmac, whole token) and never the token.

import { z } from "zod";
import type { KeyId, OrganisationId, ProjectId } from "../../kit/id.ts";
import { ROLES, type Role } from "../roles/types.ts";

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
  /** Admin keys have one, others none. */
  readonly role: Role | null;
  readonly name: string;
  readonly limits: KeyLimits;
  readonly expiresAt: Date | null;
  readonly revokedAt: Date | null;
  readonly createdAt: Date;
}

/** Body of POST /api/v1/keys. */
export const KeyInput = z
  .strictObject({
    name: z.string().trim().min(1).max(100),
    /** Play keys are minted by control for the playground, never asked for. */
    kind: z.enum(["live", "test", "admin"]),
    role: z.enum(ROLES).optional(),
    projectId: z.string().optional(),
    limits: KeyLimits.partial().default({}),
    expiresAt: z.iso.datetime({ offset: true }).optional(),
  })
  .refine((input) => (input.kind === "admin") === (input.role !== undefined), {
    path: ["role"],
    error: "an admin key needs a role, other keys have none",
  });
export type KeyInput = z.output<typeof KeyInput>;

export const KeyView = z.strictObject({
  id: z.string(),
  name: z.string(),
  kind: z.enum(KEY_KINDS),
  role: z.enum(ROLES).nullable(),
  projectId: z.string(),
  limits: KeyLimits,
  createdAt: z.string(),
  expiresAt: z.string().nullable(),
  revokedAt: z.string().nullable(),
});
export type KeyView = z.infer<typeof KeyView>;

/** The only answer that ever holds a token. */
export const KeyCreated = z.strictObject({ key: KeyView, token: z.string() });
export type KeyCreated = z.infer<typeof KeyCreated>;

export const KeyQuery = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(100),
  /** The `next` of the page before. */
  cursor: z.string().max(64).optional(),
});
export type KeyQuery = z.output<typeof KeyQuery>;

export const KeyList = z.strictObject({ items: z.array(KeyView), next: z.string().nullable() });
export type KeyList = z.infer<typeof KeyList>;

/** Sign-in: an admin key, or the one-time link that `intertie up` prints. */
export const SessionInput = z
  .strictObject({ key: z.string().max(200).optional(), link: z.string().max(200).optional() })
  .refine((input) => (input.key === undefined) !== (input.link === undefined), {
    path: ["key"],
    error: "give either key or link",
  });
export type SessionInput = z.output<typeof SessionInput>;

export const SessionView = z.strictObject({
  /** Goes back in the header `x-intertie-csrf` with every change. */
  csrf: z.string(),
  principal: z.strictObject({
    organisationId: z.string(),
    projectId: z.string(),
    keyId: z.string(),
    role: z.string(),
    permissions: z.array(z.string()),
  }),
});
export type SessionView = z.infer<typeof SessionView>;

/** The parts of `it_<kind>_<keyid>_<secret><crc>`: keyid 26, secret 52 (256 bits), crc 7 (CRC-32) characters of base 32. */
export interface ParsedToken {
  readonly kind: KeyKind;
  readonly id: KeyId;
  readonly token: string;
}
