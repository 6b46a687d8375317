// The one list of control's routes: what the server serves, the OpenAPI document describes and the SDK calls.
// Invariant: a room's routes are served only when they stand here, and everything here is described.

import { auditRoutes } from "../audit/log/routes.ts";
import type { AuditService } from "../audit/log/service.ts";
import { priceRoutes } from "../billing/prices/routes.ts";
import type { PriceService } from "../billing/prices/service.ts";
import { openApiOf, type OpenApi } from "../http/openapi.ts";
import type { RawRoute, Route } from "../http/types.ts";
import { keyRoutes, sessionRoutes } from "../identity/keys/routes.ts";
import type { KeyService } from "../identity/keys/service.ts";
import type { SessionService } from "../identity/keys/session.service.ts";
import { projectRoutes } from "../identity/orgs/routes.ts";
import type { OrgService } from "../identity/orgs/service.ts";
import { pullRoutes } from "../models/artifacts/routes.ts";
import type { PullService } from "../models/artifacts/service.ts";
import { modelRoutes } from "../models/registry/routes.ts";
import type { RegistryService } from "../models/registry/service.ts";
import type { PlaygroundHandler } from "../system/playground/handler.ts";
import { playgroundRoutes } from "../system/playground/routes.ts";
import { reportRoutes } from "../system/reports/routes.ts";
import type { ReportService } from "../system/reports/service.ts";
import { statusRoutes } from "../system/status/routes.ts";
import type { StatusService } from "../system/status/service.ts";
import { topologyRoutes } from "../zones/topology/routes.ts";
import type { TopologyService } from "../zones/topology/service.ts";
import { ANSWERS, BODIES, TAGS } from "./shapes.ts";

export interface Services {
  readonly audit: AuditService;
  readonly keys: KeyService;
  readonly models: RegistryService;
  readonly orgs: OrgService;
  readonly playground: PlaygroundHandler;
  readonly prices: PriceService;
  readonly pulls: PullService;
  readonly reports: ReportService;
  readonly sessions: SessionService;
  readonly status: StatusService;
  readonly topology: TopologyService;
}

export interface RouteList {
  readonly routes: readonly Route[];
  readonly rawRoutes: readonly RawRoute[];
}

const describe = ({ routes, rawRoutes }: RouteList): OpenApi =>
  openApiOf({ routes, rawRoutes, bodies: BODIES, answers: ANSWERS, tags: TAGS });

/** The document is part of the API that it describes. */
function documentRoute(document: () => OpenApi): RawRoute {
  return {
    method: "GET",
    path: "/api/v1/openapi.json",
    permission: "public",
    summary: "This document",
    tag: "system",
    operationId: "getOpenApi",
    answers: "application/json",
    faults: [],
    handle: () => Response.json(document()),
  };
}

export function controlRoutes(services: Services): RouteList {
  let document: OpenApi | undefined;
  const list: RouteList = {
    routes: [
      ...auditRoutes(services.audit),
      ...keyRoutes(services.keys),
      ...modelRoutes(services.models),
      ...priceRoutes(services.prices),
      ...projectRoutes(services.orgs),
      ...pullRoutes(services.pulls),
      ...reportRoutes(services.reports),
      ...sessionRoutes(services.sessions),
      ...statusRoutes(services.status),
      ...topologyRoutes(services.topology),
    ],
    rawRoutes: [
      documentRoute(() => (document ??= describe(list))),
      ...playgroundRoutes(services.playground),
    ],
  };
  return list;
}

/** The document of this version, without any service behind it. */
export function controlOpenApi(): OpenApi {
  // Making a list of routes calls no service; only running a route does, and nobody runs these.
  return describe(controlRoutes({} as Services));
}
