// Topology: zones hold pools, pools hold engines; an engine is one address that serves models. People add engines as "upstreams".
// Invariant: an engine's credential exists here only as ciphertext bound to the engine's id (AAD).

import { z } from "zod";
import type { EngineId, ModelVersionId, OrganisationId, PoolId, ZoneId } from "../../kit/id.ts";
import { ModelName } from "../../models/registry/types.ts";
import { ENGINE_STATES, ProbeView } from "../health/types.ts";

/** What the engine speaks. `embedded` is our own llama.cpp engine (OpenAI dialect, internal credential). */
export const ENGINE_KINDS = ["embedded", "openai"] as const;
export type EngineKind = (typeof ENGINE_KINDS)[number];

export interface Zone {
  readonly id: ZoneId;
  readonly ref: number;
  readonly name: string;
  readonly region: string;
  /** ISO 3166-1 alpha-2, 'ZZ' when unknown. */
  readonly jurisdiction: string;
}

export interface Pool {
  readonly id: PoolId;
  readonly zoneId: ZoneId;
  readonly name: string;
  /** `cpu`, `h100`, `trainium2`, or `api` for somebody's API. */
  readonly accelerator: string;
}

export interface Engine {
  readonly id: EngineId;
  readonly ref: number;
  readonly organisationId: OrganisationId;
  readonly poolId: PoolId;
  readonly zoneId: ZoneId;
  readonly zoneName: string;
  readonly name: string;
  readonly kind: EngineKind;
  /** Ends before `/chat/completions`, e.g. `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  readonly credentialSealed: Uint8Array | null;
  readonly allowPrivateAddress: boolean;
  readonly enabled: boolean;
}

/** An engine that is not stored yet. */
export type NewEngine = Omit<Engine, "ref" | "organisationId" | "zoneId" | "zoneName" | "enabled">;

export interface Deployment {
  readonly engineId: EngineId;
  readonly modelVersionId: ModelVersionId;
  /** What the engine calls it. */
  readonly upstreamModel: string;
}

/** Where an engine goes; what is missing of it is made. */
export interface Place {
  readonly zone: string;
  readonly region: string;
  readonly pool: string;
  readonly accelerator: string;
}

const Name = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and dashes, at most 63");

export const MODELS_MAX = 1_000;

/** Body of POST /api/v1/upstreams. */
export const UpstreamInput = z.strictObject({
  name: Name,
  baseUrl: z.url({ protocol: /^https?$/, error: "an http or https address" }).max(500),
  /** Goes into a header as it is. */
  apiKey: z
    .string()
    .trim()
    .min(1)
    .max(4096)
    .regex(/^[\x21-\x7e]+$/, "printable ASCII without spaces")
    .optional(),
  /** Public model name → the upstream's own name. Empty: discover by GET {baseUrl}/models. */
  models: z
    .record(ModelName, ModelName)
    .refine((models) => Object.keys(models).length <= MODELS_MAX, `at most ${MODELS_MAX} models`)
    .default({}),
  zone: Name.default("external"),
  /** Needed for an address in a private or loopback range (a vLLM next door). */
  allowPrivateAddress: z.boolean().default(false),
});
export type UpstreamInput = z.output<typeof UpstreamInput>;

/** Body of PATCH /api/v1/upstreams/:id. */
export const UpstreamChange = z.strictObject({ enabled: z.boolean() });
export type UpstreamChange = z.output<typeof UpstreamChange>;

export const EngineView = z.strictObject({
  id: z.string(),
  name: z.string(),
  kind: z.enum(ENGINE_KINDS),
  baseUrl: z.string(),
  enabled: z.boolean(),
  /** Public names. */
  models: z.array(z.string()),
  state: z.enum(ENGINE_STATES),
  probe: ProbeView.nullable(),
});
export type EngineView = z.infer<typeof EngineView>;

export const UpstreamView = EngineView.extend({ zone: z.string(), hasCredential: z.boolean() });
export type UpstreamView = z.infer<typeof UpstreamView>;

/** In the order they were added; come whole. */
export const UpstreamList = z.strictObject({ items: z.array(UpstreamView), next: z.null() });
export type UpstreamList = z.infer<typeof UpstreamList>;

export const UpstreamTest = z.strictObject({
  ok: z.boolean(),
  latencyMs: z.int(),
  detail: z.string(),
  /** The upstream's own names. */
  models: z.array(z.string()),
});
export type UpstreamTest = z.infer<typeof UpstreamTest>;

export const ZoneView = z.strictObject({
  id: z.string(),
  name: z.string(),
  region: z.string(),
  jurisdiction: z.string(),
  pools: z.array(
    z.strictObject({
      id: z.string(),
      name: z.string(),
      accelerator: z.string(),
      engines: z.array(EngineView),
    }),
  ),
});
export type ZoneView = z.infer<typeof ZoneView>;

export const ZoneList = z.strictObject({ items: z.array(ZoneView), next: z.null() });
export type ZoneList = z.infer<typeof ZoneList>;
