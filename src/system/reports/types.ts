// Reports: what the overview, usage and request pages answer. Names instead of refs, decimal strings of dollars instead of pico.
// Invariants: a row is an attempt; input includes its cached part, output its reasoning part; a filter that means nothing is refused.

import { z } from "zod";
import {
  ATTEMPT_KINDS,
  ENDPOINTS,
  FACT_STATUSES,
  METERS,
  QUANTITY_SOURCES,
} from "../../billing/metering/types.ts";
import { USAGE_DIMENSIONS } from "../../billing/ledger/types.ts";

const Instant = z.iso
  .datetime({ offset: true, error: "an instant such as 2026-11-24T10:15:00Z" })
  .transform((text) => Date.parse(text));

/** When, then where: gateway, lane, sequence, index. */
const CURSOR = /^\d{1,13}(\.gw_[0-9a-z]{26})(\.\d{1,10}){3}$/;

/** By name only: Postgres would read an offset such as +01:00 the other way round. */
function isTimeZone(name: string): boolean {
  try {
    const { timeZone } = new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions();
    return timeZone !== "" && /^[A-Za-z]/.test(name);
  } catch {
    return false;
  }
}

const inOrder = ({ from, to }: { from?: number | undefined; to?: number | undefined }) =>
  from === undefined || to === undefined || from < to;
const NOT_IN_ORDER = { path: ["to"], error: "must be later than from" };

export const OverviewQuery = z.strictObject({
  minutes: z.coerce.number().int().min(1).max(1_440).default(60),
});
export type OverviewQuery = z.output<typeof OverviewQuery>;

export const UsageQuery = z
  .strictObject({
    from: Instant,
    to: Instant,
    groupBy: z.enum(USAGE_DIMENSIONS).default("model"),
    /** IANA name: where a day begins. */
    timeZone: z
      .string()
      .max(64)
      .refine(isTimeZone, "no time zone such as Europe/Berlin")
      .default("UTC"),
  })
  .refine(inOrder, NOT_IN_ORDER);
export type UsageQuery = z.output<typeof UsageQuery>;

/** `failures`: every status that is a failure of ours or an upstream's, as the overview counts them. */
export const STATUS_FILTERS = [...FACT_STATUSES, "failures"] as const;

export const RequestsQuery = z
  .strictObject({
    limit: z.coerce.number().int().min(1).max(1_000).default(100),
    /** The `next` of the page before. */
    cursor: z.string().regex(CURSOR, "not the `next` of a page").optional(),
    status: z.enum(STATUS_FILTERS).optional(),
    /** Public name. */
    model: z.string().min(1).max(200).optional(),
    keyId: z.string().max(64).optional(),
    projectId: z.string().max(64).optional(),
    engineId: z.string().max(64).optional(),
    from: Instant.optional(),
    to: Instant.optional(),
  })
  .refine(inOrder, NOT_IN_ORDER);
export type RequestsQuery = z.output<typeof RequestsQuery>;

/** Whole; beyond 2^53 the nearest one that JSON can say. */
const Count = z.number().min(0);

const sums = {
  requests: Count,
  failures: Count,
  inputTokens: Count,
  outputTokens: Count,
  amount: z.string(),
};
const percentiles = {
  firstByteP50Ms: z.int().nullable(),
  firstByteP95Ms: z.int().nullable(),
};

/** `series`: minutes that have requests, oldest first. */
export const Overview = z.strictObject({
  asOf: z.iso.datetime(),
  series: z.array(z.strictObject({ minute: z.iso.datetime(), ...sums, ...percentiles })),
  totals: z.strictObject(sums),
  ...percentiles,
});
export type Overview = z.infer<typeof Overview>;

const UsageTotal = z.strictObject({ ...sums, cachedInputTokens: Count });
export const Usage = z.strictObject({
  /** Days in order; anything else by its cost, dearest first. */
  rows: z.array(UsageTotal.extend({ group: z.string(), label: z.string() })),
  total: UsageTotal,
});
export type Usage = z.infer<typeof Usage>;
export type UsageRow = Usage["rows"][number];

export const RequestRow = z.strictObject({
  requestId: z.string(),
  at: z.iso.datetime(),
  status: z.enum(FACT_STATUSES),
  httpStatus: z.int(),
  endpoint: z.enum(ENDPOINTS),
  model: z.string(),
  version: z.string(),
  zone: z.string(),
  engine: z.string(),
  attempt: z.int(),
  attemptKind: z.enum(ATTEMPT_KINDS),
  keyId: z.string(),
  keyName: z.string(),
  project: z.string(),
  streamed: z.boolean(),
  /** Null: no byte was relayed. */
  firstByteMs: z.int().nullable(),
  durationMs: z.int(),
  inputTokens: Count,
  cachedInputTokens: Count,
  outputTokens: Count,
  reasoningTokens: Count,
  amount: z.string(),
  priceVersionId: z.string().nullable(),
});
export type RequestRow = z.infer<typeof RequestRow>;

export const RequestPage = z.strictObject({
  items: z.array(RequestRow),
  next: z.string().nullable(),
});
export type RequestPage = z.infer<typeof RequestPage>;

export const PriceLine = z.strictObject({
  meter: z.enum(METERS),
  quantity: Count,
  perMillion: z.string(),
  amount: z.string(),
});
export type PriceLine = z.infer<typeof PriceLine>;

export const AttemptDetail = RequestRow.extend({
  upstreamRequestId: z.string(),
  quantities: z.array(
    z.strictObject({
      meter: z.enum(METERS),
      amount: Count,
      source: z.enum(QUANTITY_SOURCES),
    }),
  ),
  /** How the amount came about; they sum to it exactly. */
  priceLines: z.array(PriceLine),
  /** Where the fact lies in the gateway's journal, and what proves it. */
  posting: z.strictObject({
    gateway: z.string(),
    lane: z.int(),
    sequence: z.int(),
    index: z.int(),
    segmentDigest: z.string(),
  }),
});
export type AttemptDetail = z.infer<typeof AttemptDetail>;

export const RequestDetail = z.strictObject({
  requestId: z.string(),
  attempts: z.array(AttemptDetail),
});
export type RequestDetail = z.infer<typeof RequestDetail>;
