// Health: whether each engine answers, as the last probe saw it. A probe asks for the model list: no prompt, no cost.
// Invariant: details are words of ours, never an upstream's own text, which may repeat a credential.

import { z } from "zod";
import type { Refusal } from "../../kit/fault.ts";
import type { EngineId, OrganisationId } from "../../kit/id.ts";

export const ENGINE_STATES = ["up", "down", "unknown"] as const;
export type EngineState = (typeof ENGINE_STATES)[number];

export interface Probe {
  readonly engineId: EngineId;
  readonly ok: boolean;
  readonly detail: string;
  readonly latencyMs: number;
  readonly at: Date;
}

export const ProbeView = z.strictObject({
  at: z.string(),
  latencyMs: z.int(),
  detail: z.string(),
});
export type ProbeView = z.infer<typeof ProbeView>;

/** Where to ask; `baseUrl` has no slash at its end. */
export interface AskTarget {
  readonly baseUrl: string;
  readonly allowPrivateAddress: boolean;
  readonly bearer: string | undefined;
}

/** An engine as it is stored, credential sealed. */
export interface CheckedEngine {
  readonly id: EngineId;
  readonly organisationId: OrganisationId;
  readonly baseUrl: string;
  readonly allowPrivateAddress: boolean;
  readonly credentialSealed: Uint8Array | null;
}

/** One line of an engine's model list. */
export interface ListedModel {
  readonly id: string;
  readonly ownedBy: string | null;
  readonly contextTokens: number | null;
}

export interface Answers {
  readonly ok: true;
  readonly detail: string;
  /** Null: it answers, but has no model list. */
  readonly models: readonly ListedModel[] | null;
}

export interface EngineAnswer {
  readonly judged: Answers | Refusal;
  readonly latencyMs: number;
}
