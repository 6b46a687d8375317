// `intertie usage` and `intertie requests`: what was used, what it cost, and each request behind the sums.

import { z } from "zod";
import { printRows, type Column } from "./output.ts";
import { usageFault, type Command, type Context, type Input } from "./types.ts";

const Row = z.looseObject({
  group: z.string(),
  label: z.string(),
  requests: z.number(),
  failures: z.number(),
  inputTokens: z.number(),
  cachedInputTokens: z.number(),
  outputTokens: z.number(),
  amount: z.string(),
});
type Row = z.infer<typeof Row>;
const Usage = z.looseObject({ rows: z.array(Row), total: z.unknown() });

const USAGE_COLUMNS: readonly Column<Row>[] = [
  { title: "group", read: (row) => row.label },
  { title: "requests", read: (row) => row.requests, align: "right" },
  { title: "failures", read: (row) => row.failures, align: "right" },
  { title: "input", read: (row) => row.inputTokens, align: "right" },
  { title: "cached", read: (row) => row.cachedInputTokens, align: "right" },
  { title: "output", read: (row) => row.outputTokens, align: "right" },
  { title: "dollars", read: (row) => row.amount, align: "right" },
];

const Request = z.looseObject({
  requestId: z.string(),
  at: z.string(),
  status: z.string(),
  httpStatus: z.number(),
  model: z.string(),
  engine: z.string().nullish(),
  keyName: z.string().nullish(),
  firstByteMs: z.number().nullish(),
  durationMs: z.number(),
  inputTokens: z.number(),
  outputTokens: z.number(),
  amount: z.string(),
});
type Request = z.infer<typeof Request>;
const Requests = z.looseObject({ items: z.array(Request), next: z.string().nullish() });

const REQUEST_COLUMNS: readonly Column<Request>[] = [
  { title: "time", read: (request) => request.at },
  { title: "status", read: (request) => `${request.httpStatus} ${request.status}` },
  { title: "model", read: (request) => request.model },
  { title: "engine", read: (request) => request.engine },
  { title: "key", read: (request) => request.keyName },
  {
    title: "first byte",
    read: (request) =>
      request.firstByteMs == null || request.firstByteMs < 0 ? "" : `${request.firstByteMs} ms`,
    align: "right",
  },
  { title: "total", read: (request) => `${request.durationMs} ms`, align: "right" },
  { title: "in", read: (request) => request.inputTokens, align: "right" },
  { title: "out", read: (request) => request.outputTokens, align: "right" },
  { title: "dollars", read: (request) => request.amount, align: "right" },
  { title: "request", read: (request) => request.requestId },
];

const GROUPS = ["model", "project", "key", "engine", "day"] as const;

function dateFrom(input: Input, flag: string): string | undefined {
  const text = input.text(flag);
  if (text === undefined) return undefined;
  const atMs = Date.parse(text);
  if (Number.isNaN(atMs))
    throw usageFault(`--${flag}: "${text}" is no date such as 2026-11-01 or 2026-11-01T12:00:00Z`);
  return new Date(atMs).toISOString();
}

function queryOf(values: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values))
    if (value !== undefined) query.set(name, value);
  return query.size === 0 ? "" : `?${query.toString()}`;
}

const usage: Command = {
  words: "usage",
  summary: "requests, tokens and dollars, grouped",
  flags: [
    { name: "by", value: "GROUP", choices: GROUPS, summary: "what to group by (default model)" },
    { name: "from", value: "DATE", summary: "start (default: the month's first day, UTC)" },
    { name: "to", value: "DATE", summary: "end (default: now)" },
  ],
  examples: ["intertie usage", "intertie usage --by key --from 2026-11-01 -o csv"],
  run: async (context, input) => {
    const now = new Date();
    const monthStart = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)).toISOString();
    const query = queryOf({
      from: dateFrom(input, "from") ?? monthStart,
      to: dateFrom(input, "to") ?? now.toISOString(),
      groupBy: input.text("by") ?? "model",
    });
    const control = await context.control();
    const answer = await control.call("GET", `/usage${query}`, Usage);
    printRows(
      context.terminal,
      answer.rows,
      USAGE_COLUMNS,
      answer,
      "nothing was used in this time",
    );
    return 0;
  },
};

const FOLLOW_MS = 1_000;
const FOLLOW_PAGE = 100;

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });

/** New requests as they are posted, oldest first, one line each; JSON is one object a line. */
async function follow(
  context: Context,
  query: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  const control = await context.control();
  let seen = new Set<string>();
  for (let first = true; !context.signal.aborted; first = false) {
    const { items } = await control.call(
      "GET",
      `/requests${queryOf({ ...query, limit: String(FOLLOW_PAGE) })}`,
      Requests,
    );
    const fresh = (
      first ? items.slice(0, 10) : items.filter((request) => !seen.has(request.requestId))
    ).toReversed();
    seen = new Set(items.map((request) => request.requestId));
    for (const request of fresh) {
      const line = REQUEST_COLUMNS.map((column) => String(column.read(request) ?? "")).join("  ");
      context.terminal.out(context.terminal.format === "json" ? JSON.stringify(request) : line);
    }
    await pause(FOLLOW_MS, context.signal);
  }
}

const requests: Command = {
  words: "requests",
  summary: "the newest requests with route, tokens and cost",
  flags: [
    { name: "limit", value: "N", summary: "how many (default 20, at most 1000)" },
    { name: "follow", short: "f", summary: "go on printing new ones until Ctrl-C" },
    { name: "status", value: "STATUS", summary: "only these (ok, failed, cut …)" },
    { name: "model", value: "NAME", summary: "of one model" },
    { name: "key", value: "KEY_ID", summary: "of one key" },
    { name: "project", value: "ID", summary: "of one project" },
  ],
  examples: [
    "intertie requests",
    "intertie requests --follow --status failed",
    "intertie requests --limit 1000 -o csv",
  ],
  run: async (context, input) => {
    const filters = {
      status: input.text("status"),
      model: input.text("model"),
      keyId: input.text("key"),
      projectId: input.text("project"),
    };
    if (input.on("follow")) {
      await follow(context, filters);
      return 0;
    }
    const limit = input.text("limit") ?? "20";
    if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > 1000)
      throw usageFault(`--limit: "${limit}" is no whole number from 1 to 1000`);
    const control = await context.control();
    const answer = await control.call(
      "GET",
      `/requests${queryOf({ ...filters, limit })}`,
      Requests,
    );
    printRows(
      context.terminal,
      answer.items,
      REQUEST_COLUMNS,
      answer,
      "no requests yet; the ledger shows one a few seconds after it ended",
    );
    return 0;
  },
};

export const usageCommands: readonly Command[] = [usage, requests];
