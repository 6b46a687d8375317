// What follows from a route alone: its operation's name, and every fault it can answer. Pure.
// Invariant: a name depends on method and path only (or is given), so that it stays as long as the path does.

import { FAULTS, type FaultCode } from "../kit/fault.ts";
import type { Method, RawRoute, Route } from "./types.ts";

export const API_PREFIX = "/api/v1/";

const VERBS: Readonly<Record<Method, string>> = {
  GET: "get",
  POST: "create",
  PATCH: "change",
  PUT: "replace",
  DELETE: "remove",
};

export const capitalised = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);
const isParameter = (segment: string) => segment.startsWith(":");
const isPlural = (word: string) => !isParameter(word) && /[^su]s$/.test(word);
const singular = (word: string) => word.replace(/ies$/, "y").replace(/([^su])s$/, "$1");
const camel = (segment: string) =>
  segment
    .split(/[^A-Za-z0-9]+/)
    .map(capitalised)
    .join("");

/** `GET /keys` → listKeys, `PATCH /projects/:id` → changeProject, `POST /upstreams/:id/test` → testUpstream. */
export function operationIdOf(
  route: Pick<Route, "method" | "path"> & { readonly operationId?: string },
): string {
  if (route.operationId !== undefined) return route.operationId;
  const segments = route.path.slice(API_PREFIX.length).split("/");
  const last = segments.at(-1) ?? "";
  const acts = route.method === "POST" && segments.length > 1 && !isPlural(last);
  const things = acts ? segments.slice(0, -1) : segments;
  const nouns = things.flatMap((segment, index) => {
    if (isParameter(segment)) return [];
    const whole = index === things.length - 1 && (acts || route.method !== "POST");
    return [camel(whole ? segment : singular(segment))];
  });
  if (acts) return `${last}${nouns.join("")}`;
  const verb = route.method === "GET" && isPlural(last) ? "list" : VERBS[route.method];
  return `${verb}${nouns.join("")}`;
}

const CREDENTIAL: readonly FaultCode[] = [
  "key.malformed",
  "key.unknown",
  "key.revoked",
  "key.expired",
  "key.ambiguous",
  "key.not_admin",
  "session.missing",
  "session.expired",
];
const BODY: readonly FaultCode[] = [
  "request.invalid",
  "request.json",
  "request.json_depth",
  "request.json_duplicate_key",
  "request.json_prototype",
  "request.too_large",
  "request.timeout",
  "request.cut",
];
const ALWAYS: readonly FaultCode[] = ["permission.denied", "database.unavailable", "internal"];

/** The route's own faults and those that the steps before it can answer, in the catalogue's order. */
export function faultsOf(route: Route | RawRoute): readonly FaultCode[] {
  const codes = new Set<FaultCode>([
    ...route.faults,
    ...ALWAYS,
    ...(route.permission === "public" ? [] : CREDENTIAL),
    ...(route.method === "GET" ? [] : (["session.csrf"] as const)),
    ...(route.body ? BODY : []),
    ...(route.params || route.query ? (["request.invalid"] as const) : []),
  ]);
  // Object.keys forgets that the keys of FAULTS are its codes.
  return (Object.keys(FAULTS) as FaultCode[]).filter((code) => codes.has(code));
}
