// SQL of the audit log. Writing an outbox row is all that a business transaction does; numbering happens later, in one place.

import { sql, type Kysely, type Transaction } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import type { OrganisationId } from "../../kit/id.ts";
import type { Hash } from "./rules.ts";
import type { LoggedEntry } from "./types.ts";

/** Any number that no other lock of this product uses. */
const SEQUENCER_LOCK = 4_110_000_003;

export interface NumberedLeaf {
  readonly index: number;
  readonly leaf: Hash;
  readonly entry: LoggedEntry;
}

export interface Checkpoint {
  readonly size: number;
  readonly root: Hash;
  readonly signature: string;
  readonly at: Date;
}

export function openAuditStore(all: Kysely<DB>) {
  const db = all.$pickTables<"audit_outbox" | "audit_leaves" | "audit_checkpoints">();
  return {
    insertOutbox: async (entry: LoggedEntry): Promise<void> => {
      await db
        .insertInto("audit_outbox")
        .values({
          id: entry.id,
          organisation_id: entry.organisationId,
          actor: entry.actor,
          action: entry.action,
          subject: entry.subject,
          details: JSON.stringify(entry.details),
          at: entry.at,
        })
        .execute();
    },

    /** False when another sequencer is at work; held until the transaction ends. */
    tryLock: async (): Promise<boolean> => {
      const { rows } = await sql<{
        got: boolean;
      }>`select pg_try_advisory_xact_lock(${sql.lit(SEQUENCER_LOCK)}) as got`.execute(db);
      return rows[0]?.got === true;
    },

    selectOutbox: async (limit: number): Promise<LoggedEntry[]> => {
      const rows = await db
        .selectFrom("audit_outbox")
        .selectAll()
        .orderBy("id")
        .limit(limit)
        .execute();
      return rows.map((row) => ({
        id: row.id,
        organisationId: row.organisation_id,
        actor: row.actor,
        action: row.action,
        subject: row.subject,
        details: row.details,
        at: row.at.toISOString(),
      }));
    },

    deleteOutbox: async (ids: readonly string[]): Promise<void> => {
      await db.deleteFrom("audit_outbox").where("id", "in", ids).execute();
    },

    /** All leaf hashes from an index on, in order. */
    selectHashes: async (logId: string, from: number): Promise<Hash[]> => {
      const rows = await db
        .selectFrom("audit_leaves")
        .select("leaf")
        .where("log_id", "=", logId)
        .where("index", ">=", BigInt(from))
        .orderBy("index")
        .execute();
      return rows.map((row) => row.leaf);
    },

    insertLeaves: async (logId: string, leaves: readonly NumberedLeaf[]): Promise<void> => {
      const values = leaves.map(({ index, leaf, entry }) => ({
        log_id: logId,
        index,
        outbox_id: entry.id,
        organisation_id: entry.organisationId,
        leaf,
        entry: JSON.stringify(entry),
      }));
      await db.insertInto("audit_leaves").values(values).execute();
    },

    insertCheckpoint: async (logId: string, checkpoint: Checkpoint): Promise<void> => {
      const { size, root, signature, at } = checkpoint;
      await db
        .insertInto("audit_checkpoints")
        .values({ log_id: logId, size, root, signature, at })
        .execute();
    },

    selectCheckpoint: async (logId: string): Promise<Checkpoint | undefined> => {
      const row = await db
        .selectFrom("audit_checkpoints")
        .selectAll()
        .where("log_id", "=", logId)
        .orderBy("size", "desc")
        .limit(1)
        .executeTakeFirst();
      return (
        row && { size: Number(row.size), root: row.root, signature: row.signature, at: row.at }
      );
    },

    /** Newest first, below `before`. */
    selectPage: async (
      organisationId: OrganisationId,
      logId: string,
      limit: number,
      before: number | undefined,
    ): Promise<NumberedLeaf[]> => {
      const page = db
        .selectFrom("audit_leaves")
        .select(["index", "leaf", "entry"])
        .where("organisation_id", "=", organisationId)
        .where("log_id", "=", logId)
        .orderBy("index", "desc")
        .limit(limit);
      const rows = await (
        before === undefined ? page : page.where("index", "<", BigInt(before))
      ).execute();
      // Only insertLeaves writes this column.
      return rows.map(({ index, leaf, entry }) => ({
        index: Number(index),
        leaf,
        entry: entry as LoggedEntry,
      }));
    },
  };
}

export type AuditTransaction = Transaction<DB>;
