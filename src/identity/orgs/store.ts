// SQL of firms, organisations and projects. Rows in, rows out; the organisation comes first.

import type { Kysely, Selectable } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { asId, type FirmId, type OrganisationId, type ProjectId } from "../../kit/id.ts";
import type { Project } from "./types.ts";

type Row = Selectable<DB["projects"]>;

export interface FirmRow {
  readonly id: FirmId;
  readonly name: string;
  readonly signingPublicKey: string;
  readonly signingPrivateSealed: Uint8Array;
}

const toProject = (row: Row): Project => ({
  id: asId(row.id),
  ref: row.ref,
  organisationId: asId(row.organisation_id),
  name: row.name,
  limits: {
    requestsPerMinute: row.requests_per_minute,
    tokensPerMinute: row.tokens_per_minute === null ? null : Number(row.tokens_per_minute),
    concurrentStreams: row.concurrent_streams,
  },
  monthlySpendLimitPico: row.monthly_spend_limit_pico,
  createdAt: row.created_at,
});

const limitColumns = (project: Pick<Project, "limits" | "monthlySpendLimitPico">) => ({
  requests_per_minute: project.limits.requestsPerMinute,
  tokens_per_minute: project.limits.tokensPerMinute,
  concurrent_streams: project.limits.concurrentStreams,
  monthly_spend_limit_pico: project.monthlySpendLimitPico,
});

export function openOrgStore(all: Kysely<DB>) {
  const db = all.$pickTables<"firms" | "organisations" | "projects">();
  return {
    /** Not tenant-first: asked once at start, before any tenant exists. */
    hasFirm: async (): Promise<boolean> =>
      (await db.selectFrom("firms").select("id").limit(1).executeTakeFirst()) !== undefined,

    /** The tenant that the very first start made: what this installation's own engine belongs to. */
    selectFirstTenant: async () => {
      const row = await db
        .selectFrom("projects")
        .select(["organisation_id", "id"])
        .orderBy("ref")
        .limit(1)
        .executeTakeFirst();
      return (
        row && { organisationId: asId<"org">(row.organisation_id), projectId: asId<"proj">(row.id) }
      );
    },

    /** Not tenant-first: the ledger's rows name projects of all tenants by their refs. */
    selectProjectIds: async (refs: readonly number[]): Promise<ReadonlyMap<number, ProjectId>> => {
      if (refs.length === 0) return new Map();
      const rows = await db
        .selectFrom("projects")
        .select(["ref", "id"])
        .where("ref", "in", [...refs])
        .execute();
      return new Map(rows.map(({ ref, id }) => [ref, asId<"proj">(id)]));
    },

    insertFirm: async (firm: FirmRow, at: Date): Promise<void> => {
      await db
        .insertInto("firms")
        .values({
          id: firm.id,
          name: firm.name,
          signing_public_key: firm.signingPublicKey,
          signing_private_sealed: firm.signingPrivateSealed,
          created_at: at,
        })
        .execute();
    },

    insertOrganisation: async (
      firmId: FirmId,
      id: OrganisationId,
      name: string,
      at: Date,
    ): Promise<void> => {
      await db
        .insertInto("organisations")
        .values({ id, firm_id: firmId, name, created_at: at })
        .execute();
    },

    selectFirmOf: async (organisationId: OrganisationId): Promise<FirmId | undefined> => {
      const row = await db
        .selectFrom("organisations")
        .select("firm_id")
        .where("id", "=", organisationId)
        .executeTakeFirst();
      return row && asId<"firm">(row.firm_id);
    },

    insertProject: async (
      organisationId: OrganisationId,
      project: Omit<Project, "ref" | "organisationId">,
    ): Promise<Project> =>
      toProject(
        await db
          .insertInto("projects")
          .values({
            id: project.id,
            organisation_id: organisationId,
            name: project.name,
            ...limitColumns(project),
            created_at: project.createdAt,
          })
          .returningAll()
          .executeTakeFirstOrThrow(),
      ),

    selectProjects: async (organisationId: OrganisationId): Promise<Project[]> => {
      const rows = await db
        .selectFrom("projects")
        .selectAll()
        .where("organisation_id", "=", organisationId)
        .orderBy("id")
        .execute();
      return rows.map(toProject);
    },

    hasProject: async (organisationId: OrganisationId, id: ProjectId): Promise<boolean> =>
      (await db
        .selectFrom("projects")
        .select("id")
        .where("organisation_id", "=", organisationId)
        .where("id", "=", id)
        .executeTakeFirst()) !== undefined,

    /** Locks the row until the transaction ends. */
    selectProjectForChange: async (
      organisationId: OrganisationId,
      id: ProjectId,
    ): Promise<Project | undefined> => {
      const row = await db
        .selectFrom("projects")
        .selectAll()
        .where("organisation_id", "=", organisationId)
        .where("id", "=", id)
        .forUpdate()
        .executeTakeFirst();
      return row && toProject(row);
    },

    updateLimits: async (
      organisationId: OrganisationId,
      project: Pick<Project, "id" | "limits" | "monthlySpendLimitPico">,
    ): Promise<void> => {
      await db
        .updateTable("projects")
        .set(limitColumns(project))
        .where("organisation_id", "=", organisationId)
        .where("id", "=", project.id)
        .execute();
    },
  };
}
