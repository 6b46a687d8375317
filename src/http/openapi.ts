// Control's API as an OpenAPI 3.1 document, made from the routes alone: what is served is what is described.
// Invariant: the same routes give the same bytes, whatever their order.

import { z } from "zod";
import { FAULTS, type FaultCode } from "../kit/fault.ts";
import { capitalised, faultsOf, operationIdOf } from "./operation.rules.ts";
import type { RawRoute, Route } from "./types.ts";

export type JsonSchema = z.core.JSONSchema.BaseSchema;

/** A public name for a shape that rooms define; an example is shown to readers and checked by a test. */
export interface NamedShape {
  readonly shape: z.ZodType;
  readonly example?: unknown;
}

export type NamedShapes = Readonly<Record<string, NamedShape>>;

export interface ApiDescription {
  readonly routes: readonly Route[];
  readonly rawRoutes: readonly RawRoute[];
  /** Names of what is sent and of what is answered; a shape without one is called after its operation. */
  readonly bodies: NamedShapes;
  readonly answers: NamedShapes;
  readonly tags: Readonly<Record<string, string>>;
}

export interface Content {
  readonly [mediaType: string]: { readonly schema: JsonSchema };
}

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly required: boolean;
  readonly schema: JsonSchema;
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: true; readonly content: Content };
  readonly responses: Readonly<
    Record<string, { readonly description: string; readonly content?: Content }>
  >;
}

export interface OpenApi {
  readonly openapi: "3.1.0";
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly { readonly url: string; readonly description: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, JsonSchema>>;
    readonly securitySchemes: Readonly<Record<string, object>>;
  };
}

type Names = z.core.$ZodRegistry<{ id: string; examples?: unknown[] }>;

const SCHEMAS = "#/components/schemas/";
const JSON_TYPE = "application/json";
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

export const ErrorAnswer = z.strictObject({
  error: z.strictObject({
    code: z
      .string()
      .describe("Stable: decide by it, never by the message; each answer lists its own."),
    message: z.string().describe("For people; may change."),
    field: z
      .string()
      .optional()
      .describe("Path of what is wrong, such as `limits.tokensPerMinute`."),
    hint: z.string().optional().describe("What to do about it."),
    requestId: z.string(),
  }),
});

const SECURITY_SCHEMES = {
  adminKey: {
    type: "http",
    scheme: "bearer",
    description: "An admin key: `intertie keys create --kind admin`.",
  },
  csrf: {
    type: "apiKey",
    in: "header",
    name: "x-intertie-csrf",
    description: "The `csrf` of the session; goes with the cookie in every change.",
  },
  session: {
    type: "apiKey",
    in: "cookie",
    name: "intertie_session",
    description: "Set by POST /api/v1/sessions; HttpOnly, for browsers.",
  },
};

const DESCRIPTION = `The admin API of an Intertie installation: what the console and the command line use.

Money is a decimal string of dollars, times are ISO 8601 in UTC. Every answer carries \`x-request-id\`. A refusal is always
\`{"error": {"code", "message", "field"?, "hint"?, "requestId"}}\`; codes are stable, messages are not. GET routes answer HEAD too.`;

const sortedBy = <T>(items: readonly T[], keyOf: (item: T) => string): T[] =>
  items.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

/** zod's bounds of a safe integer and its long date patterns say nothing that type and format do not. */
function plain({ jsonSchema }: { jsonSchema: JsonSchema }): void {
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
}

/** Both directions' schemas of one name must agree, or readers would be told two things. */
function mergeSchemas(
  input: Record<string, JsonSchema>,
  output: Record<string, JsonSchema>,
): Record<string, JsonSchema> {
  for (const [name, schema] of Object.entries(input)) {
    const other = output[name];
    if (other !== undefined && !Bun.deepEquals(schema, other))
      throw new Error(`the shape ${name} differs between requests and answers: give it two names`);
  }
  return { ...input, ...output };
}

function schemasOf(names: Names, io: "input" | "output"): Record<string, JsonSchema> {
  const { schemas } = z.toJSONSchema(names, { io, uri: (id) => SCHEMAS + id, override: plain });
  return Object.fromEntries(
    Object.entries(schemas).map(([name, { $id: _id, $schema: _schema, ...schema }]) => [
      name,
      schema,
    ]),
  );
}

/** Registers the shapes of one direction: by their public name, else by the operation's. */
function namesOf(
  named: NamedShapes,
  used: readonly { readonly shape: z.ZodType | undefined; readonly fallback: string }[],
): Names {
  const names: Names = z.registry();
  for (const [id, { shape, example }] of Object.entries(named))
    names.add(shape, { id, ...(example === undefined ? {} : { examples: [example] }) });
  for (const { shape, fallback } of used)
    if (shape && !names.has(shape)) names.add(shape, { id: fallback });
  return names;
}

const refTo = (names: Names, shape: z.ZodType): JsonSchema => ({
  $ref: `${SCHEMAS}${names.get(shape)?.id ?? ""}`,
});

/** Names of the schemas that a value mentions, directly. */
export function refsIn(value: unknown): string[] {
  const text = JSON.stringify(value);
  return [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
    (match) => match[1] ?? "",
  );
}

function reachable(
  schemas: Readonly<Record<string, JsonSchema>>,
  roots: readonly string[],
): Record<string, JsonSchema> {
  const found = new Set<string>();
  const visit = (name: string) => {
    if (found.has(name)) return;
    found.add(name);
    for (const next of refsIn(schemas[name] ?? {})) visit(next);
  };
  for (const root of roots) visit(root);
  return Object.fromEntries(
    [...found].sort().flatMap((name) => {
      const schema = schemas[name];
      return schema === undefined ? [] : [[name, schema] as const];
    }),
  );
}

function parametersOf(
  place: "path" | "query",
  shape: z.ZodObject | undefined,
): readonly Parameter[] {
  if (!shape) return [];
  const { properties = {}, required = [] } = z.toJSONSchema(shape, {
    io: "input",
    override: plain,
  });
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: place,
    required: place === "path" || required.includes(name),
    schema: typeof schema === "boolean" ? {} : schema,
  }));
}

function failuresOf(codes: readonly FaultCode[]): Operation["responses"] {
  const content = { [JSON_TYPE]: { schema: { $ref: `${SCHEMAS}ErrorAnswer` } } };
  const byStatus = Map.groupBy(codes, (code) => String(FAULTS[code]));
  return Object.fromEntries(
    [...byStatus].map(([status, each]) => [
      status,
      { description: each.map((code) => `\`${code}\``).join(", "), content },
    ]),
  );
}

const SUCCESS = {
  200: "The answer",
  201: "Made",
  202: "Taken on; it goes on in the background",
  204: "Done",
} as const;

function successOf(route: Route | RawRoute, outputs: Names): Operation["responses"] {
  if ("handle" in route) {
    const schema: JsonSchema =
      route.answers === JSON_TYPE
        ? { type: "object", additionalProperties: {} }
        : { type: "string" };
    return {
      200: { description: "The answer as it comes", content: { [route.answers]: { schema } } },
    };
  }
  if (route.status === 204) return { 204: { description: SUCCESS[204] } };
  const schema = refTo(outputs, route.response);
  return {
    [route.status]: {
      description: SUCCESS[route.status],
      content: { [JSON_TYPE]: { schema } },
    },
  };
}

const needs = ({ permission }: Pick<Route, "permission">): string => {
  if (permission === "public") return "Needs no credential.";
  if (permission === "signed-in") return "Needs any admin key or session.";
  return `Needs the permission \`${permission}\`.`;
};

function securityOf({
  method,
  permission,
}: Pick<Route, "method" | "permission">): Operation["security"] {
  if (permission === "public") return [];
  return [{ adminKey: [] }, method === "GET" ? { session: [] } : { csrf: [], session: [] }];
}

function operationOf(route: Route | RawRoute, inputs: Names, outputs: Names): Operation {
  const parameters = [...parametersOf("path", route.params), ...parametersOf("query", route.query)];
  return {
    operationId: operationIdOf(route),
    summary: route.summary,
    description: needs(route),
    tags: [route.tag],
    security: securityOf(route),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(route.body
      ? {
          requestBody: {
            required: true,
            content: { [JSON_TYPE]: { schema: refTo(inputs, route.body) } },
          },
        }
      : {}),
    // Integer keys come in ascending order of themselves.
    responses: { ...successOf(route, outputs), ...failuresOf(faultsOf(route)) },
  };
}

const pathOf = (route: Pick<Route, "path">) => route.path.replaceAll(/:([A-Za-z]+)/g, "{$1}");

function pathsOf(
  routes: readonly (Route | RawRoute)[],
  inputs: Names,
  outputs: Names,
): OpenApi["paths"] {
  const byPath = Map.groupBy(sortedBy(routes, pathOf), pathOf);
  return Object.fromEntries(
    [...byPath].map(([path, own]) => {
      const ordered = METHODS.flatMap((method) => own.filter((route) => route.method === method));
      const operations = ordered.map(
        (route) => [route.method.toLowerCase(), operationOf(route, inputs, outputs)] as const,
      );
      return [path, Object.fromEntries(operations)];
    }),
  );
}

function componentsOf(inputs: Names, outputs: Names, paths: OpenApi["paths"]) {
  const schemas = mergeSchemas(schemasOf(inputs, "input"), schemasOf(outputs, "output"));
  return { schemas: reachable(schemas, refsIn(paths)), securitySchemes: SECURITY_SCHEMES };
}

export function openApiOf(api: ApiDescription): OpenApi {
  const all = [...api.routes, ...api.rawRoutes];
  const after = (route: Route | RawRoute, what: string) =>
    `${capitalised(operationIdOf(route))}${what}`;
  const inputs = namesOf(
    api.bodies,
    all.map((route) => ({ shape: route.body, fallback: after(route, "Body") })),
  );
  const outputs = namesOf(
    { ...api.answers, ErrorAnswer: { shape: ErrorAnswer } },
    api.routes
      .filter((route) => route.status !== 204)
      .map((route) => ({ shape: route.response, fallback: after(route, "Answer") })),
  );
  const paths = pathsOf(all, inputs, outputs);
  const tags = [...new Set(all.map((route) => route.tag))].sort();
  return {
    openapi: "3.1.0",
    info: { title: "Intertie control API", version: "1", description: DESCRIPTION },
    servers: [{ url: "http://localhost:4110", description: "where `intertie up` serves it" }],
    tags: tags.map((name) => ({ name, description: api.tags[name] ?? "" })),
    paths,
    components: componentsOf(inputs, outputs, paths),
  };
}
