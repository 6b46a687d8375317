// The model that ships with the repository: the first answer needs no account, no network and no download.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const FOLDER = join(import.meta.dir, "..", "..", "..", "models", "intertie-tiny");

const Lineage = z.object({
  gguf_sha256: z.string().regex(/^[0-9a-f]{64}$/),
  shape: z.object({ context: z.int() }),
});

export interface DefaultModel {
  readonly name: string;
  readonly ownedBy: string;
  readonly licence: string;
  readonly path: string;
  /** SHA-256, hexadecimal, as the lineage file that was written by the training run has it. */
  readonly digest: string;
  readonly contextTokens: number;
  /** Dollars a million tokens. An explicit price, because nothing unpriced is served. */
  readonly perMillion: { readonly input_tokens: string; readonly output_tokens: string };
}

export function readDefaultModel(): DefaultModel {
  const lineage = Lineage.parse(JSON.parse(readFileSync(join(FOLDER, "lineage.json"), "utf8")));
  return {
    name: "intertie-tiny",
    ownedBy: "intertie",
    licence: "Apache-2.0",
    path: join(FOLDER, "intertie-tiny.gguf"),
    digest: lineage.gguf_sha256,
    contextTokens: lineage.shape.context,
    perMillion: { input_tokens: "0.02", output_tokens: "0.08" },
  };
}
