// SQL of the reports' own joins: from ids to refs for filters, and from refs back to names for rows. Reads only.
// Invariant: only rows of the asking organisation are found; removed engines and revoked keys are rows like others.

import { sql, type Kysely } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import type { OrganisationId } from "../../kit/id.ts";
import type { Named, Refs } from "./rules.ts";

type ReportDb = Kysely<
  Pick<
    DB,
    | "organisations"
    | "projects"
    | "keys"
    | "zones"
    | "engines"
    | "models"
    | "model_versions"
    | "price_versions"
  >
>;

export interface ReportStore {
  selectOrganisationRef(organisationId: OrganisationId): Promise<number>;
  selectRef(
    organisationId: OrganisationId,
    table: "projects" | "keys" | "engines",
    id: string,
  ): Promise<number | undefined>;
  /** Every version that ever had this public name; undefined: there is no such model. */
  selectVersionRefs(
    organisationId: OrganisationId,
    model: string,
  ): Promise<readonly number[] | undefined>;
  selectNames(organisationId: OrganisationId, refs: Refs): Promise<readonly Named[]>;
}

async function selectVersionRefs(db: ReportDb, organisationId: OrganisationId, model: string) {
  const rows = await db
    .selectFrom("models")
    .leftJoin("model_versions", "model_versions.model_id", "models.id")
    .select("model_versions.ref")
    .where("models.organisation_id", "=", organisationId)
    .where("models.name", "=", model)
    .execute();
  if (rows.length === 0) return undefined;
  return rows.flatMap(({ ref }) => (ref === null ? [] : [ref]));
}

async function selectNames(db: ReportDb, organisationId: OrganisationId, refs: Refs) {
  const { rows } = await sql<Named>`
    select 'project' as kind, ref, id, name, '' as version from projects
      where organisation_id = ${organisationId} and ref = any(${refs.project}::int[])
    union all select 'key', ref, id, name, '' from keys
      where organisation_id = ${organisationId} and ref = any(${refs.key}::int[])
    union all select 'zone', ref, id, name, '' from zones
      where organisation_id = ${organisationId} and ref = any(${refs.zone}::int[])
    union all select 'engine', ref, id, name, '' from engines
      where organisation_id = ${organisationId} and ref = any(${refs.engine}::int[])
    union all select 'price', ref, id, model, '' from price_versions
      where organisation_id = ${organisationId} and ref = any(${refs.price}::int[])
    union all select 'model', version.ref, models.id, models.name, version.version
      from model_versions version join models on models.id = version.model_id
      where version.organisation_id = ${organisationId} and version.ref = any(${refs.model}::int[])`.execute(
    db,
  );
  return rows;
}

export function openReportStore(all: Kysely<DB>): ReportStore {
  const db: ReportDb = all.$pickTables<
    | "organisations"
    | "projects"
    | "keys"
    | "zones"
    | "engines"
    | "models"
    | "model_versions"
    | "price_versions"
  >();
  return {
    selectOrganisationRef: async (organisationId) => {
      const { ref } = await db
        .selectFrom("organisations")
        .select("ref")
        .where("id", "=", organisationId)
        .executeTakeFirstOrThrow();
      return ref;
    },
    selectRef: async (organisationId, table, id) => {
      const row = await db
        .selectFrom(table)
        .select("ref")
        .where("organisation_id", "=", organisationId)
        .where("id", "=", id)
        .executeTakeFirst();
      return row?.ref;
    },
    selectVersionRefs: (organisationId, model) => selectVersionRefs(db, organisationId, model),
    selectNames: (organisationId, refs) => selectNames(db, organisationId, refs),
  };
}
