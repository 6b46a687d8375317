// SQL of console links and sessions. Both are found by the hash of a secret, which is what says whose they are.

import type { Kysely } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { asId, type KeyId } from "../../kit/id.ts";

export interface StoredSession {
  readonly keyId: KeyId;
  readonly csrfHash: Uint8Array;
  readonly expiresAt: Date;
}

export function openSessionStore(all: Kysely<DB>) {
  const db = all.$pickTables<"console_links" | "console_sessions">();
  return {
    insertLink: async (hash: Uint8Array, keyId: KeyId, expiresAt: Date): Promise<void> => {
      await db
        .insertInto("console_links")
        .values({ hash, key_id: keyId, expires_at: expiresAt })
        .execute();
    },

    /** Of two at once only one gets the key. */
    takeLink: async (hash: Uint8Array, at: Date): Promise<KeyId | undefined> => {
      const row = await db
        .updateTable("console_links")
        .set({ used_at: at })
        .where("hash", "=", hash)
        .where("used_at", "is", null)
        .where("expires_at", ">", at)
        .returning("key_id")
        .executeTakeFirst();
      return row && asId<"key">(row.key_id);
    },

    hasLink: async (hash: Uint8Array): Promise<boolean> =>
      (await db
        .selectFrom("console_links")
        .select("hash")
        .where("hash", "=", hash)
        .executeTakeFirst()) !== undefined,

    insertSession: async (hash: Uint8Array, session: StoredSession, at: Date): Promise<void> => {
      await db
        .insertInto("console_sessions")
        .values({
          hash,
          key_id: session.keyId,
          csrf_hash: session.csrfHash,
          expires_at: session.expiresAt,
          created_at: at,
        })
        .execute();
    },

    selectSession: async (hash: Uint8Array): Promise<StoredSession | undefined> => {
      const row = await db
        .selectFrom("console_sessions")
        .selectAll()
        .where("hash", "=", hash)
        .executeTakeFirst();
      return (
        row && {
          keyId: asId<"key">(row.key_id),
          csrfHash: row.csrf_hash,
          expiresAt: row.expires_at,
        }
      );
    },

    deleteSession: async (hash: Uint8Array): Promise<void> => {
      await db.deleteFrom("console_sessions").where("hash", "=", hash).execute();
    },

    deleteExpired: async (at: Date): Promise<void> => {
      await db.deleteFrom("console_sessions").where("expires_at", "<=", at).execute();
      await db.deleteFrom("console_links").where("expires_at", "<=", at).execute();
    },
  };
}
