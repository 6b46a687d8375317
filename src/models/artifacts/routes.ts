// Routes of pulls.

import { defineRoute, type Route } from "../../http/types.ts";
import type { PullService } from "./service.ts";
import { PullInput, PullList, PullView } from "./types.ts";

export function pullRoutes(service: PullService): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/models/pulls",
      permission: "models.read",
      summary: "How far the pulls of models are, the last asked first",
      tag: "models",
      response: PullList,
      status: 200,
      faults: [],
      run: ({ principal }) => service.list(principal),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/models/pulls",
      permission: "models.write",
      summary:
        "Fetch a model for the embedded engine; goes on in the background, from where an earlier pull stopped",
      tag: "models",
      body: PullInput,
      response: PullView,
      status: 202,
      faults: ["request.invalid", "model.unknown"],
      run: ({ principal }, { body }) => service.create(principal, body),
    }),
  ];
}
