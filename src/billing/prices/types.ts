// Prices: effective-dated, per model and meter. A price version is immutable; a change is a new version with a later date.

import { z } from "zod";
import type { OrganisationId, PriceVersionId } from "../../kit/id.ts";
import { METERS, type Meter } from "../metering/types.ts";

/** Dollars per million units, exact decimal text with at most 6 places (so that one unit is a whole number of pico-dollars). */
export const PerMillion = z
  .string()
  .regex(/^\d{1,9}(\.\d{1,6})?$/, 'a decimal such as "2.50", at most 6 places');

export const PriceInput = z.strictObject({
  /** Public model name as callers send it. */
  model: z.string().min(1).max(200),
  effectiveFrom: z.iso.datetime({ offset: true }),
  perMillion: z.partialRecord(z.enum(METERS), PerMillion),
  source: z.string().max(500).default(""),
});
export type PriceInput = z.infer<typeof PriceInput>;

/** A dated price file, as `prices import` reads it and as ships in `prices/`. */
export const PriceFile = z.strictObject({
  format: z.literal(1),
  asOf: z.iso.date(),
  currency: z.literal("USD"),
  note: z.string().default(""),
  prices: z.array(PriceInput).max(10_000),
});
export type PriceFile = z.infer<typeof PriceFile>;

export interface PriceVersion {
  readonly id: PriceVersionId;
  readonly ref: number;
  readonly organisationId: OrganisationId;
  readonly model: string;
  readonly effectiveFromMs: number;
  readonly source: string;
  /** Pico-dollars per unit; a meter that is absent costs the meter it falls back to (see rules). */
  readonly picoPerUnit: Readonly<Partial<Record<Meter, bigint>>>;
}

/** A version and when the next one of the same model took over; null: none has been set. */
export interface PriceTerm {
  readonly version: PriceVersion;
  readonly supersededAtMs: number | null;
}

export const PriceQuery = z.strictObject({ model: z.string().max(200).optional() });
export type PriceQuery = z.infer<typeof PriceQuery>;

export const PriceView = z.strictObject({
  id: z.string(),
  model: z.string(),
  effectiveFrom: z.iso.datetime(),
  source: z.string(),
  /** Meter → dollars per million units. */
  perMillion: z.partialRecord(z.enum(METERS), z.string()),
});
export type PriceView = z.infer<typeof PriceView>;

/** Newest first within a model; a price list is small, so it comes whole. */
export const PriceList = z.strictObject({ items: z.array(PriceView), next: z.null() });
export type PriceList = z.infer<typeof PriceList>;

export const PriceImported = z.strictObject({ added: z.int(), unchanged: z.int() });
export type PriceImported = z.infer<typeof PriceImported>;

/** A version that is not stored yet. */
export type NewPrice = Pick<PriceVersion, "model" | "effectiveFromMs" | "source" | "picoPerUnit">;
