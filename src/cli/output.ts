// Data on stdout: as a table for people, as JSON or CSV for programs. The same rows, whatever the form.

import type { Terminal } from "./types.ts";

export interface Column<Row> {
  readonly title: string;
  readonly read: (row: Row) => string | number | boolean | null | undefined;
  readonly align?: "right";
}

const cell = (value: string | number | boolean | null | undefined) =>
  value === null || value === undefined ? "" : String(value);

export function tableOf<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => cell(column.read(row)))),
  ];
  const widths = columns.map((_, index) =>
    Math.max(...lines.map((line) => (line[index] ?? "").length)),
  );
  const pad = (text: string, index: number) =>
    columns[index]?.align === "right"
      ? text.padStart(widths[index] ?? 0)
      : text.padEnd(widths[index] ?? 0);
  return lines.map((line) => line.map(pad).join("  ").trimEnd()).join("\n");
}

const quoted = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** RFC 4180, with a header line. A cell that a spreadsheet would run as a formula is made text. */
export function csvOf<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const safe = (text: string) => (/^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text);
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => safe(cell(column.read(row))))),
  ];
  return lines.map((line) => line.map(quoted).join(",")).join("\n");
}

/** `whole` is what JSON shows: the answer as the API gave it, so that no field is lost. */
export function printRows<Row>(
  terminal: Terminal,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  whole: unknown,
  ifNone: string,
): void {
  if (terminal.format === "json") return terminal.out(JSON.stringify(whole));
  if (terminal.format === "csv") return terminal.out(csvOf(rows, columns));
  if (rows.length === 0) return terminal.say(ifNone);
  terminal.out(tableOf(rows, columns));
}

/** One object: JSON as it is; for people, one `name  value` a line. */
export function printObject(
  terminal: Terminal,
  pairs: readonly (readonly [string, string])[],
  whole: unknown,
): void {
  if (terminal.format === "json") return terminal.out(JSON.stringify(whole));
  const columns: Column<readonly [string, string]>[] = [
    { title: "name", read: (pair) => pair[0] },
    { title: "value", read: (pair) => pair[1] },
  ];
  if (terminal.format === "csv") return terminal.out(csvOf(pairs, columns));
  const width = Math.max(...pairs.map(([name]) => name.length));
  terminal.out(pairs.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n"));
}
