// Which base URL is usable, and which models an upstream serves by what was typed or what it lists. Pure.
// Invariant: nothing is guessed: a list that is missing, empty, too long or unreadable is refused with what to do instead.

import { refuse, type Refusal } from "../../kit/fault.ts";
import { ModelName } from "../../models/registry/types.ts";
import type { ListedModel } from "../health/types.ts";
import { MODELS_MAX, type Place, type UpstreamInput } from "./types.ts";

export const LOCAL_PLACE: Place = {
  zone: "local",
  region: "local",
  pool: "cpu",
  accelerator: "cpu",
};

/** Somebody's API: we know neither what it runs on nor where, but for the zone's name. */
export const apiPlace = (zone: string): Place => ({
  zone,
  region: zone,
  pool: "api",
  accelerator: "api",
});

const wrongUrl = (message: string, hint: string) =>
  refuse("request.invalid", `baseUrl: ${message}`, { field: "baseUrl", hint });

/** `text` is an http or https URL. Its form without a slash at the end, because paths are appended. */
export function judgeBaseUrl(
  text: string,
): { readonly ok: true; readonly baseUrl: string } | Refusal {
  const url = new URL(text);
  if (url.username !== "" || url.password !== "")
    return wrongUrl("carries a credential", "send it as apiKey");
  if (url.search !== "" || url.hash !== "")
    return wrongUrl("has a query or a fragment", "paths are appended to it: end it before them");
  const path = url.pathname.replace(/\/+$/, "");
  const ending = /\/(chat\/completions|completions|embeddings|models)$/.exec(path);
  if (ending)
    return wrongUrl(
      `ends with ${ending[0]}`,
      `end it before that: ${url.origin}${path.slice(0, ending.index)}`,
    );
  return { ok: true, baseUrl: `${url.origin}${path}` };
}

export interface ServedModel {
  readonly name: string;
  readonly upstreamModel: string;
  readonly ownedBy: string;
  readonly contextTokens: number | null;
}

export function typedModels(input: Pick<UpstreamInput, "name" | "models">): ServedModel[] {
  return Object.entries(input.models).map(([name, upstreamModel]) => ({
    name,
    upstreamModel,
    ownedBy: input.name,
    contextTokens: null,
  }));
}

const noList = (message: string) =>
  refuse("upstream.invalid", message, {
    field: "models",
    hint: "name the models that it serves, or check that baseUrl ends as the upstream's pages say (often /v1)",
  });

/** `listed` null: it answers, but has no list. */
export function judgeListed(
  upstream: string,
  listed: readonly ListedModel[] | null,
): { readonly ok: true; readonly models: readonly ServedModel[] } | Refusal {
  if (listed === null) return noList("it answers, without a model list");
  if (listed.length === 0) return noList("it lists no models");
  const unique = new Map(listed.map((model) => [model.id, model]));
  if (unique.size > MODELS_MAX)
    return noList(`it lists ${unique.size} models, more than ${MODELS_MAX}`);
  const models: ServedModel[] = [];
  for (const { id, ownedBy, contextTokens } of unique.values()) {
    if (!ModelName.safeParse(id).success) return noList("it lists a name that cannot be used");
    models.push({ name: id, upstreamModel: id, ownedBy: ownedBy ?? upstream, contextTokens });
  }
  return { ok: true, models };
}
