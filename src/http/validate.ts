// Turns params, query and body into what a route's schemas say, or into one fault that names the first wrong field.

import type { z } from "zod";
import { Fault } from "../kit/fault.ts";
import type { Route, RouteInput } from "./types.ts";

/** `['limits', 'requestsPerMinute']` → `limits.requestsPerMinute`, `['items', 0, 'name']` → `items[0].name`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, "");
}

/** zod puts an unknown key's name beside the path; people look for the key itself. */
function pathOfIssue(issue: z.core.$ZodIssue): readonly PropertyKey[] {
  return issue.code === "unrecognized_keys"
    ? [...issue.path, ...issue.keys.slice(0, 1)]
    : issue.path;
}

/** Where a text is that no database takes: with a NUL, or with half a character. Depth is bounded by the JSON that was read. */
function pathOfBroken(value: unknown, path: readonly PropertyKey[] = []): typeof path | undefined {
  if (typeof value === "string")
    return value.includes("\0") || !value.isWellFormed() ? path : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, each] of Object.entries(value)) {
    const at = [...path, Array.isArray(value) ? Number(key) : key];
    const broken = pathOfBroken(key, at) ?? pathOfBroken(each, at);
    if (broken) return broken;
  }
  return undefined;
}

function judgeTexts(value: unknown, whole: string): void {
  const path = pathOfBroken(value);
  if (!path) return;
  const field = fieldPath(path) || whole;
  throw new Fault("request.invalid", {
    message: `${field}: holds a NUL or half a character`,
    field,
  });
}

function parse(schema: z.ZodType | undefined, value: unknown, whole: string): unknown {
  if (!schema) return undefined;
  judgeTexts(value, whole);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue ? fieldPath(pathOfIssue(issue)) : "";
  throw new Fault("request.invalid", {
    message: `${field || whole}: ${issue?.message ?? "not valid"}`,
    field: field || whole,
  });
}

function queryOf(search: URLSearchParams): Record<string, string> {
  const query: Record<string, string> = {};
  for (const [name, value] of search) {
    if (Object.hasOwn(query, name) || name === "__proto__") {
      throw new Fault("request.invalid", { message: `${name}: given twice`, field: name });
    }
    query[name] = value;
  }
  return query;
}

export function validate(
  route: Pick<Route, "params" | "query" | "body">,
  params: Readonly<Record<string, string>>,
  search: URLSearchParams,
  body: unknown,
): RouteInput {
  // Path parameters are strings in every schema; a route without one sees them as they came.
  const checked = route.params
    ? (parse(route.params, params, "path") as Record<string, string>)
    : params;
  return {
    params: checked,
    query: parse(route.query, queryOf(search), "query"),
    body: parse(route.body, body, "body"),
  };
}
