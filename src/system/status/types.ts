// Status: what the start page and the system page answer. Everything here is read from real events, never ticked by hand.

import { z } from "zod";

export const CHECKLIST_IDS = ["signed-in", "first-call", "upstream-added", "key-made"] as const;
export type ChecklistId = (typeof CHECKLIST_IDS)[number];

export const Checklist = z.strictObject({
  items: z.array(
    z.strictObject({
      id: z.enum(CHECKLIST_IDS),
      done: z.boolean(),
      /** When it first happened. */
      at: z.iso.datetime().nullable(),
    }),
  ),
  /** Where callers send their requests; ends with `/v1`. */
  apiBaseUrl: z.string(),
});
export type Checklist = z.infer<typeof Checklist>;

/** When each thing first happened in an organisation; null: not yet. */
export interface ChecklistEvents {
  readonly signedInAt: Date | null;
  /** The first fact in the ledger. */
  readonly firstCallAt: Date | null;
  /** The first engine that is not the embedded one, removed ones included. */
  readonly upstreamAddedAt: Date | null;
  /** The first live key besides the seeded one. */
  readonly keyMadeAt: Date | null;
}

export const GATEWAY_STATES = ["up", "late", "gone"] as const;
export type GatewayState = (typeof GATEWAY_STATES)[number];

/** A gateway process as control last heard from it. */
export interface GatewaySeen {
  readonly id: string;
  readonly epoch: number;
  readonly cell: string;
  readonly address: string;
  readonly productVersion: string;
  readonly openedAt: Date;
  readonly seenAt: Date;
}

export const EXPOSURES = ["loopback", "tls", "behind-proxy"] as const;
export type Exposure = (typeof EXPOSURES)[number];

/** What the process was started with. */
export interface Setting {
  readonly version: string;
  readonly apiBaseUrl: string;
  readonly host: string;
  readonly tls: boolean;
  readonly behindProxy: boolean;
  readonly startedAt: Date;
}

export const SystemInfo = z.strictObject({
  version: z.string(),
  startedAt: z.iso.datetime(),
  apiBaseUrl: z.string(),
  exposure: z.strictObject({ kind: z.enum(EXPOSURES), host: z.string(), detail: z.string() }),
  migrations: z.strictObject({ applied: z.array(z.string()), pending: z.array(z.string()) }),
  snapshot: z.strictObject({ sequence: z.int(), compiledAt: z.iso.datetime() }).nullable(),
  gateways: z.array(
    z.strictObject({
      id: z.string(),
      epoch: z.int(),
      cell: z.string(),
      address: z.string(),
      productVersion: z.string(),
      openedAt: z.iso.datetime(),
      seenAt: z.iso.datetime(),
      state: z.enum(GATEWAY_STATES),
    }),
  ),
});
export type SystemInfo = z.infer<typeof SystemInfo>;
