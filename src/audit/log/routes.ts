// Route of the audit log.

import { defineRoute, type Route } from "../../http/types.ts";
import type { AuditService } from "./service.ts";
import { AuditList, AuditQuery } from "./types.ts";

export function auditRoutes(service: AuditService): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/audit",
      permission: "audit.read",
      summary:
        "Who changed what in your organisation, newest first, with the log's signed checkpoint",
      tag: "audit",
      query: AuditQuery,
      response: AuditList,
      status: 200,
      faults: [],
      run: ({ principal }, { query }) => service.list(principal, query),
    }),
  ];
}
