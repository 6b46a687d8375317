// Topology: zones hold pools, pools hold engines; an engine is one address that serves models. People add engines as "upstreams".
// Invariant: an engine's credential exists here only as ciphertext bound to the engine's id (AAD).

import { z } from "zod";
import type { EngineId, PoolId, ZoneId } from "../../kit/id.ts";

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
  readonly poolId: PoolId;
  readonly zoneId: ZoneId;
  readonly name: string;
  readonly kind: EngineKind;
  /** Ends before `/chat/completions`, e.g. `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  readonly credentialSealed: Uint8Array | null;
  readonly enabled: boolean;
}

/** Body of POST /api/v1/upstreams. */
export const UpstreamInput = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and dashes"),
  baseUrl: z.url().max(500),
  apiKey: z.string().min(1).max(4096).optional(),
  /** Public model name → the upstream's own name. Empty: discover by GET {baseUrl}/models. */
  models: z.record(z.string().min(1).max(200), z.string().min(1).max(200)).default({}),
  zone: z.string().max(63).default("external"),
  /** Needed for an address in a private or loopback range (a vLLM next door). */
  allowPrivateAddress: z.boolean().default(false),
});
export type UpstreamInput = z.infer<typeof UpstreamInput>;
