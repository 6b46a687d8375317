// SQL of keys. The organisation comes first, except where a presented token is looked up: there the key decides the organisation.

import type { Kysely, Selectable } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { asId, type KeyId, type OrganisationId } from "../../kit/id.ts";
import type { Key } from "./types.ts";

export interface StoredKey extends Key {
  readonly hmac: Uint8Array;
}

const toKey = (row: Selectable<DB["keys"]>): StoredKey => ({
  id: asId(row.id),
  ref: row.ref,
  organisationId: asId(row.organisation_id),
  projectId: asId(row.project_id),
  // The check constraints on keys.kind and keys.role are these very lists.
  kind: row.kind as Key["kind"],
  role: row.role as Key["role"],
  name: row.name,
  hmac: row.hmac,
  limits: {
    requestsPerMinute: row.requests_per_minute,
    tokensPerMinute: row.tokens_per_minute === null ? null : Number(row.tokens_per_minute),
    concurrentStreams: row.concurrent_streams,
  },
  expiresAt: row.expires_at,
  revokedAt: row.revoked_at,
  createdAt: row.created_at,
});

export function openKeyStore(all: Kysely<DB>) {
  const db = all.$pickTables<"keys">();
  return {
    insert: async (key: Omit<StoredKey, "ref">): Promise<void> => {
      await db
        .insertInto("keys")
        .values({
          id: key.id,
          organisation_id: key.organisationId,
          project_id: key.projectId,
          kind: key.kind,
          role: key.role,
          name: key.name,
          hmac: key.hmac,
          requests_per_minute: key.limits.requestsPerMinute,
          tokens_per_minute: key.limits.tokensPerMinute,
          concurrent_streams: key.limits.concurrentStreams,
          expires_at: key.expiresAt,
          created_at: key.createdAt,
        })
        .execute();
    },

    /** Newest first; ids sort by time, so an id is the cursor. Play keys are nobody's to see. */
    selectPage: async (
      organisationId: OrganisationId,
      limit: number,
      before: string | undefined,
    ): Promise<Key[]> => {
      const page = db
        .selectFrom("keys")
        .selectAll()
        .where("organisation_id", "=", organisationId)
        .where("kind", "!=", "play")
        .orderBy("id", "desc")
        .limit(limit);
      const rows = await (before === undefined ? page : page.where("id", "<", before)).execute();
      return rows.map(toKey);
    },

    /** Locks the row until the transaction ends. */
    selectForChange: async (
      organisationId: OrganisationId,
      id: KeyId,
    ): Promise<StoredKey | undefined> => {
      const row = await db
        .selectFrom("keys")
        .selectAll()
        .where("organisation_id", "=", organisationId)
        .where("id", "=", id)
        .forUpdate()
        .executeTakeFirst();
      return row && toKey(row);
    },

    /** Of whichever organisation: the presented token is what says whose it is. */
    selectPresented: async (id: KeyId): Promise<StoredKey | undefined> => {
      const row = await db.selectFrom("keys").selectAll().where("id", "=", id).executeTakeFirst();
      return row && toKey(row);
    },

    /** Usable owner keys, locked in one order for everybody, so that of two revocations the second sees what the first did. */
    selectOwnersForChange: async (organisationId: OrganisationId, at: Date): Promise<KeyId[]> => {
      const rows = await db
        .selectFrom("keys")
        .select("id")
        .where("organisation_id", "=", organisationId)
        .where("role", "=", "owner")
        .where("revoked_at", "is", null)
        .where((where) => where.or([where("expires_at", "is", null), where("expires_at", ">", at)]))
        .orderBy("id")
        .forUpdate()
        .execute();
      return rows.map((row) => asId<"key">(row.id));
    },

    updateRevoked: async (organisationId: OrganisationId, id: KeyId, at: Date): Promise<void> => {
      await db
        .updateTable("keys")
        .set({ revoked_at: at })
        .where("organisation_id", "=", organisationId)
        .where("id", "=", id)
        .where("revoked_at", "is", null)
        .execute();
    },
  };
}
