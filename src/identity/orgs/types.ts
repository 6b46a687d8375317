// Organisations: firms own them, they own projects; a project carries limits and a monthly spend limit.
// Invariant: a limit of null means none of its own; money is pico-dollars in code and a decimal string of dollars in JSON.

import { z } from "zod";
import type { OrganisationId, ProjectId } from "../../kit/id.ts";
import { parseDecimal } from "../../kit/money.ts";
import { KeyLimits } from "../keys/types.ts";

export interface Project {
  readonly id: ProjectId;
  readonly ref: number;
  readonly organisationId: OrganisationId;
  readonly name: string;
  readonly limits: KeyLimits;
  readonly monthlySpendLimitPico: bigint | null;
  readonly createdAt: Date;
}

/** Dollars a UTC month; read as pico-dollars. */
const SpendLimit = z
  .string()
  .regex(/^\d{1,15}(\.\d{1,12})?$/, 'a decimal of dollars such as "250" or "99.50"')
  .transform((text) => parseDecimal(text) ?? 0n)
  .nullable();

export const ProjectInput = z.strictObject({
  name: z.string().regex(/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,62}$/u, "letters, digits, spaces, . _ -"),
  limits: KeyLimits.partial().default({}),
  monthlySpendLimit: SpendLimit.default(null),
});
export type ProjectInput = z.output<typeof ProjectInput>;

/** What is absent stays as it is; null takes a limit away. */
export const ProjectChange = z.strictObject({
  limits: KeyLimits.partial().default({}),
  monthlySpendLimit: SpendLimit.optional(),
});
export type ProjectChange = z.output<typeof ProjectChange>;

export const ProjectView = z.strictObject({
  id: z.string(),
  name: z.string(),
  limits: KeyLimits,
  monthlySpendLimit: z.string().nullable(),
  createdAt: z.string(),
});
export type ProjectView = z.infer<typeof ProjectView>;

export const ProjectList = z.strictObject({
  items: z.array(ProjectView),
  next: z.string().nullable(),
});
export type ProjectList = z.infer<typeof ProjectList>;
