// For tests of services: what a change leaves behind, kept in memory beside the real database.

import type { AuditEntry, ChangeDeps } from "./change.types.ts";
import type { Database } from "./database.ts";

export interface Changes {
  readonly deps: ChangeDeps;
  readonly audited: readonly AuditEntry[];
  /** How often the snapshot was told. */
  readonly told: number;
}

export function watchChanges({ db }: Pick<Database, "db">): Changes {
  const audited: AuditEntry[] = [];
  let told = 0;
  return {
    audited,
    get told() {
      return told;
    },
    deps: {
      inTransaction: (work) => db.transaction().execute(work),
      audit: async (_, entry) => void audited.push(entry),
      markSnapshotDirty: async () => void (told += 1),
    },
  };
}
