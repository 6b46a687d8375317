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

function parse(schema: z.ZodType | undefined, value: unknown, whole: string): unknown {
  if (!schema) return undefined;
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
