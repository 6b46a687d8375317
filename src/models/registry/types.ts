// Models: a public name that callers send, and the versions behind it; a version may name the artifact that we serve ourselves.
// Invariant: a version stands for the same model for ever; facts refer to it, so what was once known of it does not change.

import { z } from "zod";
import type { ModelId, ModelVersionId } from "../../kit/id.ts";

/** As callers send it, and as an engine calls it: any printable text. */
export const ModelName = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\p{C}]+$/u, "printable characters only");

/** What is known of a version; null or empty: not known. */
export interface VersionFacts {
  readonly contextTokens: number | null;
  readonly outputTokensMax: number | null;
  /** SHA-256 of the file, hex. */
  readonly artifactDigest: string | null;
  readonly licence: string;
}

export interface ModelVersion extends VersionFacts {
  readonly id: ModelVersionId;
  readonly modelId: ModelId;
  readonly version: string;
}

export interface Model {
  readonly id: ModelId;
  readonly name: string;
  readonly ownedBy: string;
  /** Oldest first, at least one. */
  readonly versions: readonly ModelVersion[];
}

/** A version that should exist from now on. */
export interface VersionWish extends VersionFacts {
  readonly name: string;
  /** Taken over when the name is new. */
  readonly ownedBy: string;
  /** Null: the engine does not say what it runs; then it is the newest version of that name, or the first. */
  readonly version: string | null;
}

export const ModelView = z.strictObject({
  id: z.string(),
  name: z.string(),
  ownedBy: z.string(),
  /** The one that answers: the newest that is served, else the newest. */
  version: z.string(),
  contextTokens: z.int().nullable(),
  /** Names of the enabled engines that serve it. */
  engines: z.array(z.string()),
  /** A price is in force now; without one callers cannot use the model. */
  priced: z.boolean(),
});
export type ModelView = z.infer<typeof ModelView>;

/** By name; a registry is small, so it comes whole. */
export const ModelList = z.strictObject({ items: z.array(ModelView), next: z.null() });
export type ModelList = z.infer<typeof ModelList>;
