// The audit log: outbox rows become numbered leaves of one RFC 6962 tree, covered by signed checkpoints.
// Invariants: a leaf never changes or moves; an entry's bytes are its canonical JSON; a checkpoint signs size and root together.

import { z } from "zod";

/** The one log of this installation; receipts will carry it. */
export const LOG_ID = "intertie.local";

/** What the tree commits to. */
export interface LoggedEntry {
  readonly id: string;
  readonly organisationId: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly details: unknown;
  readonly at: string;
}

export const AuditQuery = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(100),
  /** The `next` of the page before: an index. */
  cursor: z
    .string()
    .regex(/^\d{1,15}$/)
    .optional(),
});
export type AuditQuery = z.output<typeof AuditQuery>;

export const AuditList = z.strictObject({
  logId: z.string(),
  checkpoint: z
    .strictObject({ size: z.int(), root: z.string(), signature: z.string(), at: z.string() })
    .nullable(),
  items: z.array(
    z.strictObject({
      index: z.int(),
      at: z.string(),
      actor: z.string(),
      action: z.string(),
      subject: z.string(),
      details: z.record(z.string(), z.unknown()),
    }),
  ),
  next: z.string().nullable(),
});
export type AuditList = z.infer<typeof AuditList>;
