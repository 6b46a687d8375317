// SQL of models and their versions. Rows in, rows out; the organisation comes first; nothing here is ever deleted.

import type { Kysely, Selectable } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { asId, type ModelId, type ModelVersionId, type OrganisationId } from "../../kit/id.ts";
import type { Model, ModelVersion, VersionFacts } from "./types.ts";

export type NewModel = Pick<Model, "id" | "name" | "ownedBy">;

const toVersion = (row: Selectable<DB["model_versions"]>): ModelVersion => ({
  id: asId(row.id),
  modelId: asId(row.model_id),
  version: row.version,
  contextTokens: row.context_tokens,
  outputTokensMax: row.output_tokens_max,
  artifactDigest: row.artifact_digest,
  licence: row.licence,
});

const factColumns = (facts: VersionFacts) => ({
  context_tokens: facts.contextTokens,
  output_tokens_max: facts.outputTokensMax,
  artifact_digest: facts.artifactDigest,
  licence: facts.licence,
});

export function openModelStore(all: Kysely<DB>) {
  const db = all.$pickTables<"models" | "model_versions">();
  return {
    /** Names that are there already stay as they are. In order of name, so that two callers cannot wait for each other. */
    insertModels: async (
      organisationId: OrganisationId,
      models: readonly NewModel[],
      at: Date,
    ): Promise<void> => {
      const values = models
        .toSorted((left, right) => (left.name < right.name ? -1 : 1))
        .map(({ id, name, ownedBy }) => ({
          id,
          organisation_id: organisationId,
          name,
          owned_by: ownedBy,
          created_at: at,
        }));
      await db
        .insertInto("models")
        .values(values)
        .onConflict((conflict) => conflict.columns(["organisation_id", "name"]).doNothing())
        .execute();
    },

    /** Locks the models until the transaction ends, so that their versions cannot change meanwhile. */
    selectForChange: async (
      organisationId: OrganisationId,
      names: readonly string[],
    ): Promise<ReadonlyMap<string, ModelId>> => {
      const rows = await db
        .selectFrom("models")
        .select(["id", "name"])
        .where("organisation_id", "=", organisationId)
        .where("name", "in", names)
        .orderBy("name")
        .forUpdate()
        .execute();
      return new Map(rows.map((row) => [row.name, asId<"model">(row.id)]));
    },

    /** Oldest first. */
    selectVersions: async (
      organisationId: OrganisationId,
      models: readonly ModelId[],
    ): Promise<ModelVersion[]> => {
      const rows = await db
        .selectFrom("model_versions")
        .selectAll()
        .where("organisation_id", "=", organisationId)
        .where("model_id", "in", models)
        .orderBy("created_at")
        .orderBy("ref")
        .execute();
      return rows.map(toVersion);
    },

    insertVersions: async (
      organisationId: OrganisationId,
      versions: readonly ModelVersion[],
      at: Date,
    ): Promise<void> => {
      const values = versions.map((version) => ({
        id: version.id,
        organisation_id: organisationId,
        model_id: version.modelId,
        version: version.version,
        ...factColumns(version),
        created_at: at,
      }));
      await db.insertInto("model_versions").values(values).execute();
    },

    updateFacts: async (organisationId: OrganisationId, version: ModelVersion): Promise<void> => {
      await db
        .updateTable("model_versions")
        .set(factColumns(version))
        .where("organisation_id", "=", organisationId)
        .where("id", "=", version.id)
        .execute();
    },

    /** By name. */
    selectModels: async (organisationId: OrganisationId): Promise<Model[]> => {
      const models = await db
        .selectFrom("models")
        .select(["id", "name", "owned_by"])
        .where("organisation_id", "=", organisationId)
        .orderBy("name")
        .execute();
      const versions = await db
        .selectFrom("model_versions")
        .selectAll()
        .where("organisation_id", "=", organisationId)
        .orderBy("created_at")
        .orderBy("ref")
        .execute();
      const versionsOf = Map.groupBy(versions, (version) => version.model_id);
      return models.map((row) => ({
        id: asId<"model">(row.id),
        name: row.name,
        ownedBy: row.owned_by,
        versions: (versionsOf.get(row.id) ?? []).map(toVersion),
      }));
    },

    /** The public name of each version. */
    selectNames: async (
      organisationId: OrganisationId,
    ): Promise<ReadonlyMap<ModelVersionId, string>> => {
      const rows = await db
        .selectFrom("model_versions as version")
        .innerJoin("models as model", "model.id", "version.model_id")
        .select(["version.id", "model.name"])
        .where("version.organisation_id", "=", organisationId)
        .execute();
      return new Map(rows.map((row) => [asId<"version">(row.id), row.name]));
    },
  };
}
