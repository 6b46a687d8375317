// What every service does in the transaction of its change, besides the change: leave an audit row, tell the snapshot compiler.
// Invariant: these are handed to services as functions, so that no room calls the audit log or the snapshot by itself.

import type { Transaction } from "kysely";
import type { OrganisationId } from "../kit/id.ts";
import type { DB } from "./schema.gen.ts";

export interface AuditEntry {
  readonly organisationId: OrganisationId;
  /** The admin key's id that asked, or `system`. */
  readonly actor: string;
  /** `key.create`, `upstream.remove`. */
  readonly action: string;
  /** The id of what was changed. */
  readonly subject: string;
  /** Never a secret, never a prompt. */
  readonly details: Readonly<Record<string, string | number | boolean | null>>;
}

export interface ChangeDeps {
  readonly inTransaction: <T>(work: (trx: Transaction<DB>) => Promise<T>) => Promise<T>;
  readonly audit: (trx: Transaction<DB>, entry: AuditEntry) => Promise<void>;
  readonly markSnapshotDirty: (trx: Transaction<DB>) => Promise<void>;
}
