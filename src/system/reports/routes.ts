// Routes of the reports: the live overview, usage, and the requests behind every sum.

import { z } from "zod";
import { defineRoute, type Route } from "../../http/types.ts";
import { asId } from "../../kit/id.ts";
import type { ReportService } from "./service.ts";
import {
  Overview,
  OverviewQuery,
  RequestDetail,
  RequestPage,
  RequestsQuery,
  Usage,
  UsageQuery,
} from "./types.ts";

export function reportRoutes(service: ReportService): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/overview",
      permission: "usage.read",
      summary:
        "Requests, tokens, spend and time to first byte by the minute, up to the one that runs",
      tag: "reports",
      query: OverviewQuery,
      response: Overview,
      status: 200,
      faults: [],
      run: ({ principal }, { query }) => service.overview(principal, query),
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/usage",
      permission: "usage.read",
      summary: "What was used and what it cost, by model, project, key, engine or day",
      tag: "reports",
      query: UsageQuery,
      response: Usage,
      status: 200,
      faults: ["request.invalid"],
      run: ({ principal }, { query }) => service.usage(principal, query),
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/requests",
      permission: "requests.read",
      summary: "Requests, newest first, one row an attempt",
      tag: "reports",
      query: RequestsQuery,
      response: RequestPage,
      status: 200,
      faults: ["request.invalid"],
      run: ({ principal }, { query }) => service.requests(principal, query),
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/requests/:id",
      permission: "requests.read",
      summary:
        "One request: its attempts, how each amount came about, and where it lies in the ledger",
      tag: "reports",
      params: z.object({ id: z.string() }),
      response: RequestDetail,
      status: 200,
      faults: ["entity.not_found"],
      run: ({ principal }, { params }) => service.request(principal, asId<"req">(params.id)),
    }),
  ];
}
