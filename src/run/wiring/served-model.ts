// A GGUF file that the embedded engine serves becomes a version with a deployment: the shipped model at each start, a pulled one when
// it has arrived. Invariant: the version is named by the file's digest, so other bytes are another version.

import type { Transaction } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import type { EngineId, OrganisationId } from "../../kit/id.ts";
import { ensureVersion } from "../../models/registry/service.ts";
import { ensureDeployment } from "../../zones/topology/embedded.service.ts";
import type { Foundation } from "./foundation.ts";

export interface ServedModel {
  readonly name: string;
  readonly ownedBy: string;
  readonly licence: string;
  /** SHA-256 of the file, hexadecimal. */
  readonly digest: string;
  readonly contextTokens: number;
  readonly outputTokensMax: number | null;
}

const DIGEST_SHOWN = 12;

/** Writes nothing where nothing changed. */
export async function ensureServed(
  foundation: Foundation,
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  engineId: EngineId,
  model: ServedModel,
): Promise<void> {
  const { name, ownedBy, licence, digest, contextTokens, outputTokensMax } = model;
  const modelVersionId = await ensureVersion(foundation, trx, organisationId, {
    name,
    ownedBy,
    licence,
    version: digest.slice(0, DIGEST_SHOWN),
    artifactDigest: digest,
    contextTokens,
    outputTokensMax,
  });
  const deployment = { engineId, modelVersionId, upstreamModel: name };
  await ensureDeployment(foundation, trx, organisationId, deployment);
}
