// Routes of the registry.

import { defineRoute, type Route } from "../../http/types.ts";
import type { RegistryService } from "./service.ts";
import { ModelList } from "./types.ts";

export function modelRoutes(service: RegistryService): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/models",
      permission: "models.read",
      summary: "The public names, who serves each, and whether it has a price",
      tag: "models",
      response: ModelList,
      status: 200,
      faults: [],
      run: ({ principal }) => service.list(principal),
    }),
  ];
}
