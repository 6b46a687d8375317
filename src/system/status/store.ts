// SQL of the status room's own reads, over what other rooms have written: first events, migrations, the newest snapshot. Reads only.
// Invariant: an event is as old as its audit entry or fact, which nothing removes; so what is done once stays done.

import { sql, type Kysely } from "kysely";
import { compareMigrations } from "../../db/migrate.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { OrganisationId } from "../../kit/id.ts";
import type { ChecklistEvents } from "./types.ts";

type StatusDb = Kysely<
  Pick<
    DB,
    "organisations" | "audit_outbox" | "audit_leaves" | "facts" | "engines" | "snapshot_manifests"
  >
>;

/** What the service is handed under these very names. */
export interface StatusStore {
  events(organisationId: OrganisationId): Promise<ChecklistEvents>;
  /** By name, without `.sql`; `pending`: files of this version that the database has not seen. */
  migrations(): Promise<{ applied: readonly string[]; pending: readonly string[] }>;
  snapshot(): Promise<{ sequence: number; compiledAt: Date } | undefined>;
}

/** The first entry of that action, numbered or still in the outbox. `details`: what it must say besides. */
const firstAudited = (organisationId: OrganisationId, action: string, details: object = {}) => {
  const wanted = JSON.stringify(details);
  return sql`(select min(at) from (
    select at from audit_outbox
      where organisation_id = ${organisationId} and action = ${action} and details @> ${wanted}::jsonb
    union all (select (entry ->> 'at')::timestamptz from audit_leaves
      where organisation_id = ${organisationId} and entry ->> 'action' = ${action}
        and entry -> 'details' @> ${wanted}::jsonb
      order by index limit 1)) as audited)`;
};

async function events(db: StatusDb, organisationId: OrganisationId): Promise<ChecklistEvents> {
  const { rows } = await sql<ChecklistEvents>`select
    ${firstAudited(organisationId, "session.create")} as "signedInAt",
    (select min(started_at) from facts
      where organisation_ref = (select ref from organisations where id = ${organisationId})) as "firstCallAt",
    (select min(created_at) from engines
      where organisation_id = ${organisationId} and kind <> 'embedded') as "upstreamAddedAt",
    ${firstAudited(organisationId, "key.create", { kind: "live" })} as "keyMadeAt"`.execute(db);
  const [row] = rows;
  if (!row) throw new Error("a select without a table gave no row");
  return row;
}

const bare = (file: string) => file.replace(/\.sql$/, "");

async function migrations(db: StatusDb) {
  const { rows } = await sql<{ name: string }>`select name from migrations order by name`.execute(
    db,
  );
  const { applied, pending } = await compareMigrations(rows.map(({ name }) => name));
  return { applied: applied.map(bare), pending: pending.map(bare) };
}

async function snapshot(db: StatusDb) {
  const row = await db
    .selectFrom("snapshot_manifests")
    .select(["sequence", "compiled_at"])
    .orderBy("sequence", "desc")
    .limit(1)
    .executeTakeFirst();
  return row && { sequence: Number(row.sequence), compiledAt: row.compiled_at };
}

export function openStatusStore(all: Kysely<DB>): StatusStore {
  const db: StatusDb = all.$pickTables<
    "organisations" | "audit_outbox" | "audit_leaves" | "facts" | "engines" | "snapshot_manifests"
  >();
  return {
    events: (organisationId) => events(db, organisationId),
    migrations: () => migrations(db),
    snapshot: () => snapshot(db),
  };
}
