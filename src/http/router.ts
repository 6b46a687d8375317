// Finds the route for a method and a path. Pure; built once from the list.
// Invariant: a literal segment wins over a parameter, and two routes of one method and shape are refused when the list is built.

import type { Method } from "./types.ts";

interface Located {
  readonly method: Method;
  readonly path: string;
}

export type Match<T> =
  | { readonly kind: "found"; readonly route: T; readonly params: Readonly<Record<string, string>> }
  | { readonly kind: "method"; readonly allow: readonly Method[] }
  | { readonly kind: "none" };

interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  parameter: Node<T> | undefined;
  readonly routes: Map<Method, T>;
}

const emptyNode = <T>(): Node<T> => ({
  literals: new Map(),
  parameter: undefined,
  routes: new Map(),
});

const segmentsOf = (path: string) => path.split("/").slice(1);
const isParameter = (segment: string) => segment.startsWith(":");

function descend<T>(from: Node<T>, segment: string): Node<T> {
  if (isParameter(segment)) return (from.parameter ??= emptyNode());
  let next = from.literals.get(segment);
  if (!next) from.literals.set(segment, (next = emptyNode()));
  return next;
}

function find<T>(from: Node<T>, segments: readonly string[]): Node<T> | undefined {
  const [segment, ...rest] = segments;
  if (segment === undefined) return from.routes.size > 0 ? from : undefined;
  const literal = from.literals.get(segment);
  const viaLiteral = literal && find(literal, rest);
  if (viaLiteral) return viaLiteral;
  return from.parameter && segment !== "" ? find(from.parameter, rest) : undefined;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function paramsOf(path: string, segments: readonly string[]): Record<string, string> {
  const named = segmentsOf(path).flatMap((segment, index) =>
    isParameter(segment) ? [[segment.slice(1), decode(segments[index] ?? "")] as const] : [],
  );
  return Object.fromEntries(named);
}

export interface Router<T> {
  match(method: string, path: string): Match<T>;
}

export function createRouter<T extends Located>(routes: readonly T[]): Router<T> {
  const root = emptyNode<T>();
  for (const route of routes) {
    const node = segmentsOf(route.path).reduce((from, segment) => descend(from, segment), root);
    if (node.routes.has(route.method)) throw new Error(`two routes ${route.method} ${route.path}`);
    node.routes.set(route.method, route);
  }
  return {
    match: (method, path) => {
      const segments = segmentsOf(path);
      const node = find(root, segments);
      if (!node) return { kind: "none" };
      const found = [...node.routes].find(([each]) => each === method);
      if (!found) return { kind: "method", allow: [...node.routes.keys()] };
      return { kind: "found", route: found[1], params: paramsOf(found[1].path, segments) };
    },
  };
}
