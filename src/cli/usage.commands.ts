// `intertie usage` and `intertie requests`: what was used, what it cost, and each request behind the sums.

import { setTimeout } from "node:timers/promises";
import type { ListRequestsQuery, RequestRow, Usage } from "../../sdk/client.gen.ts";
import { STATUS_FILTERS } from "../system/reports/types.ts";
import { printRows, type Column } from "./output.ts";
import { usageFault, type Command, type Context, type Input } from "./types.ts";

type Row = Usage["rows"][number];

const USAGE_COLUMNS: readonly Column<Row>[] = [
  { title: "group", read: (row) => row.label },
  { title: "requests", read: (row) => row.requests, align: "right" },
  { title: "failures", read: (row) => row.failures, align: "right" },
  { title: "input", read: (row) => row.inputTokens, align: "right" },
  { title: "cached", read: (row) => row.cachedInputTokens, align: "right" },
  { title: "output", read: (row) => row.outputTokens, align: "right" },
  { title: "dollars", read: (row) => row.amount, align: "right" },
];

const REQUEST_COLUMNS: readonly Column<RequestRow>[] = [
  { title: "time", read: (request) => request.at },
  { title: "status", read: (request) => `${request.httpStatus} ${request.status}` },
  { title: "model", read: (request) => request.model },
  { title: "engine", read: (request) => request.engine },
  { title: "key", read: (request) => request.keyName },
  {
    title: "first byte",
    read: (request) => (request.firstByteMs === null ? "" : `${request.firstByteMs} ms`),
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
    const control = await context.control();
    const answer = await control.getUsage({
      from: dateFrom(input, "from") ?? monthStart,
      to: dateFrom(input, "to") ?? now.toISOString(),
      groupBy: GROUPS.find((group) => group === input.text("by")) ?? "model",
    });
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

/** New requests as they are posted, oldest first, one line each; JSON is one object a line. */
async function follow(context: Context, query: ListRequestsQuery): Promise<void> {
  const control = await context.control();
  let seen = new Set<string>();
  for (let first = true; !context.signal.aborted; first = false) {
    const { items } = await control.listRequests({ ...query, limit: FOLLOW_PAGE });
    const fresh = (
      first ? items.slice(0, 10) : items.filter((request) => !seen.has(request.requestId))
    ).toReversed();
    seen = new Set(items.map((request) => request.requestId));
    for (const request of fresh) {
      const line = REQUEST_COLUMNS.map((column) => String(column.read(request) ?? "")).join("  ");
      context.terminal.out(context.terminal.format === "json" ? JSON.stringify(request) : line);
    }
    await setTimeout(FOLLOW_MS, undefined, { signal: context.signal }).catch(() => {});
  }
}

const requests: Command = {
  words: "requests",
  summary: "the newest requests with route, tokens and cost",
  flags: [
    { name: "limit", value: "N", summary: "how many (default 20, at most 1000)" },
    { name: "follow", short: "f", summary: "go on printing new ones until Ctrl-C" },
    { name: "status", value: "STATUS", choices: STATUS_FILTERS, summary: "only these" },
    { name: "model", value: "NAME", summary: "of one model" },
    { name: "key", value: "KEY_ID", summary: "of one key" },
    { name: "project", value: "ID", summary: "of one project" },
  ],
  examples: [
    "intertie requests",
    "intertie requests --follow --status failures",
    "intertie requests --limit 1000 -o csv",
  ],
  run: async (context, input) => {
    const filters = {
      status: STATUS_FILTERS.find((status) => status === input.text("status")),
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
    const answer = await control.listRequests({ ...filters, limit: Number(limit) });
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
