// Artifacts: GGUF files by digest, the index that the embedded engine serves from, and pulls that bring new ones.

import { z } from "zod";
import type { OrganisationId } from "../../kit/id.ts";

export const Digest = z.string().regex(/^[0-9a-f]{64}$/, "64 hexadecimal characters");

/** `file`: a name beside the index, or an absolute path. */
export const IndexEntry = z.strictObject({
  file: z.string().min(1),
  digest: Digest,
  /** What one request may hold, prompt and answer together. */
  contextTokens: z.int().min(2),
});
export type IndexEntry = z.infer<typeof IndexEntry>;

/** `<dataDir>/artifacts/models.json`: what the embedded engine serves, by public name. */
export const ModelIndex = z.strictObject({
  format: z.literal(1),
  models: z.record(z.string(), IndexEntry),
});
export type ModelIndex = z.infer<typeof ModelIndex>;

export const INDEX_FILE = "models.json";

/** One file of known content, and the places that have exactly these bytes. */
export interface CatalogueEntry {
  readonly name: string;
  readonly title: string;
  readonly licence: string;
  readonly ownedBy: string;
  /** Of the GGUF itself, whatever it travels in. */
  readonly digest: string;
  readonly bytes: number;
  readonly contextTokens: number;
  readonly outputTokensMax: number;
  readonly perMillion: { readonly input_tokens: string; readonly output_tokens: string };
  readonly hub: { readonly repository: string; readonly revision: string; readonly file: string };
  readonly wheel: {
    readonly project: string;
    readonly file: string;
    readonly digest: string;
    readonly bytes: number;
    /** The path of the GGUF inside the wheel. */
    readonly entry: string;
  };
}

export const PULL_STATES = ["queued", "running", "done", "failed"] as const;
export type PullState = (typeof PULL_STATES)[number];

export interface Pull {
  readonly organisationId: OrganisationId;
  readonly name: string;
  readonly state: PullState;
  readonly doneBytes: number;
  readonly totalBytes: number | null;
  /** Where from, or what went wrong; for people. */
  readonly detail: string;
  /** The key that asked. */
  readonly askedBy: string;
}

export const PullInput = z.strictObject({ name: z.string().min(1).max(200) });
export type PullInput = z.infer<typeof PullInput>;

export const PullView = z.strictObject({
  name: z.string(),
  state: z.enum(PULL_STATES),
  doneBytes: z.int(),
  totalBytes: z.int().nullable(),
  detail: z.string(),
});
export type PullView = z.infer<typeof PullView>;

/** At most one pull a model, so the list comes whole. */
export const PullList = z.strictObject({ items: z.array(PullView), next: z.null() });
export type PullList = z.infer<typeof PullList>;
