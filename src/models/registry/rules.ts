// Which version a wish means, and what it adds to what is known. Pure.
// Invariant: knowledge only grows: an unknown fact is filled in, a known one stays, and another artifact is another version.

import { refuse, type Refusal } from "../../kit/fault.ts";
import type { ModelVersion, VersionFacts, VersionWish } from "./types.ts";

/** The name of a version of which nobody said which it is. */
export const FIRST_VERSION = "1";

export type VersionPlan =
  | { readonly ok: true; readonly change: "add"; readonly version: string }
  | { readonly ok: true; readonly change: "none"; readonly found: ModelVersion }
  | { readonly ok: true; readonly change: "learn"; readonly found: ModelVersion }
  | Refusal;

const factsOf = (known: VersionFacts, said: VersionFacts): VersionFacts => ({
  contextTokens: known.contextTokens ?? said.contextTokens,
  outputTokensMax: known.outputTokensMax ?? said.outputTokensMax,
  artifactDigest: known.artifactDigest ?? said.artifactDigest,
  licence: known.licence === "" ? said.licence : known.licence,
});

const isSame = (left: VersionFacts, right: VersionFacts) =>
  left.contextTokens === right.contextTokens &&
  left.outputTokensMax === right.outputTokensMax &&
  left.artifactDigest === right.artifactDigest &&
  left.licence === right.licence;

/** `existing`: all versions of the wish's name, oldest first. `learn`: `found` carries what is known from now on. */
export function planVersion(existing: readonly ModelVersion[], wish: VersionWish): VersionPlan {
  const found =
    wish.version === null
      ? existing.at(-1)
      : existing.find((each) => each.version === wish.version);
  if (!found) return { ok: true, change: "add", version: wish.version ?? FIRST_VERSION };
  const { artifactDigest: said } = wish;
  if (said !== null && found.artifactDigest !== null && said !== found.artifactDigest)
    return refuse("change.conflict", `${wish.name} ${found.version} is another artifact already`, {
      field: "version",
      hint: "another file is another version: give it a name of its own",
    });
  const facts = factsOf(found, wish);
  if (isSame(found, facts)) return { ok: true, change: "none", found };
  return { ok: true, change: "learn", found: { ...found, ...facts } };
}

/** As the snapshot chooses: the newest version that an enabled engine serves, else the newest. */
export function chooseVersion<T>(
  oldestFirst: readonly T[],
  isServed: (version: T) => boolean,
): T | undefined {
  return oldestFirst.findLast(isServed) ?? oldestFirst.at(-1);
}
