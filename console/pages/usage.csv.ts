// Usage as CSV (RFC 4180). Amounts are the exact decimals of the ledger; a text that a spreadsheet would run is defused.

import type { Usage, UsageGroup } from "../api.types.ts";

function cell(value: string | number): string {
  const text =
    typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function toCsv(usage: Usage, groupBy: UsageGroup): string {
  const heads = [
    groupBy,
    "id",
    "requests",
    "failures",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "amount_usd",
  ];
  const lines = [...usage.rows, { group: "", label: "Total", ...usage.total }].map((row) => [
    row.label,
    row.group,
    row.requests,
    row.failures,
    row.inputTokens,
    row.cachedInputTokens,
    row.outputTokens,
    row.amount,
  ]);
  return [heads, ...lines].map((line) => `${line.map(cell).join(",")}\r\n`).join("");
}
