// Control's routes as data: one list per room; validation, permission, OpenAPI and the fault-to-response step all read it.
// Invariant: a route without a permission does not compile, and `run` is one line into the room's service.

import type { z } from "zod";
import type { FaultCode } from "../kit/fault.ts";
import type { FirmId, KeyId, OrganisationId, ProjectId } from "../kit/id.ts";

/** The closed list of what a route can demand; which role has which is `identity/roles`. */
export const PERMISSIONS = [
  "keys.read",
  "keys.write",
  "projects.read",
  "projects.write",
  "upstreams.read",
  "upstreams.write",
  "models.read",
  "models.write",
  "prices.read",
  "prices.write",
  "usage.read",
  "requests.read",
  "zones.read",
  "audit.read",
  "playground.use",
  "system.read",
  "system.write",
] as const;
export type Permission = (typeof PERMISSIONS)[number];

export type Method = "GET" | "POST" | "PATCH" | "PUT" | "DELETE";

/** Who is asking: resolved from an admin key (bearer) or a console session (cookie). */
export interface Principal {
  readonly firmId: FirmId;
  readonly organisationId: OrganisationId;
  readonly projectId: ProjectId;
  readonly keyId: KeyId;
  /** A name from `identity/roles`, for display; decisions read `permissions`. */
  readonly role: string;
  readonly permissions: ReadonlySet<Permission>;
  readonly via: "key" | "session";
  /** Set when `via` is `session`: names the session, is no secret. */
  readonly sessionId?: string;
}

export interface RouteContext {
  readonly principal: Principal;
  readonly requestId: string;
}

/** `public`: no credential (sign-in itself, health). */
export interface Route {
  readonly method: Method;
  /** `/api/v1/keys/:id` */
  readonly path: string;
  readonly permission: Permission | "public" | "signed-in";
  readonly summary: string;
  readonly tag: string;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType;
  readonly response: z.ZodType;
  readonly status: 200 | 201 | 202 | 204;
  /** Fault codes this route can answer besides the general ones; documented and tested. */
  readonly faults: readonly FaultCode[];
  /** Its name in the OpenAPI document and the SDK, where the one that method and path give is not the field's word. */
  readonly operationId?: string;
  readonly run: (context: RouteContext, input: RouteInput) => Promise<unknown>;
}

export interface RouteInput {
  readonly params: Readonly<Record<string, string>>;
  readonly query: unknown;
  readonly body: unknown;
}

/** A body with headers beside it (a cookie); `run` may return one instead of a plain body. */
export class Reply<T> {
  readonly body: T;
  readonly headers: Readonly<Record<string, string>>;

  constructor(body: T, headers: Readonly<Record<string, string>>) {
    this.body = body;
    this.headers = headers;
  }
}

/** A route that reads its body and answers a whole response itself, streams included; the same checks come before it. */
export interface RawRoute extends Pick<
  Route,
  "method" | "path" | "permission" | "summary" | "tag" | "params" | "query" | "body" | "operationId"
> {
  /** Media type of the answer, e.g. `text/event-stream`. */
  readonly answers: string;
  readonly faults: readonly FaultCode[];
  readonly handle: (
    request: Request,
    principal: Principal,
    requestId: string,
  ) => Promise<Response> | Response;
}

type Parsed<T> = T extends z.ZodType ? z.output<T> : undefined;

/** Keeps a route's schemas and its `run` arguments in step for the compiler; the list itself stays plain data. */
export function defineRoute<
  const P extends z.ZodObject | undefined = undefined,
  const Q extends z.ZodObject | undefined = undefined,
  const B extends z.ZodType | undefined = undefined,
  R extends z.ZodType = z.ZodType,
>(
  route: Omit<Route, "run" | "params" | "query" | "body" | "response"> & {
    readonly params?: P;
    readonly query?: Q;
    readonly body?: B;
    readonly response: R;
    readonly run: (
      context: RouteContext,
      input: { params: Parsed<P>; query: Parsed<Q>; body: Parsed<B> },
    ) => Promise<z.input<R> | Reply<z.input<R>>>;
  },
): Route {
  // The server parses params, query and body with these very schemas before it calls run.
  return route as unknown as Route;
}
