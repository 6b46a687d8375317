// Routes of prices.

import { defineRoute, type Route } from "../../http/types.ts";
import type { PriceService } from "./service.ts";
import { PriceFile, PriceImported, PriceInput, PriceList, PriceQuery, PriceView } from "./types.ts";

export function priceRoutes(service: PriceService): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/prices",
      permission: "prices.read",
      summary: "All price versions, by model, newest first",
      tag: "prices",
      query: PriceQuery,
      response: PriceList,
      status: 200,
      faults: [],
      run: ({ principal }, { query }) => service.list(principal, query.model),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/prices",
      permission: "prices.write",
      summary: "Give a model a price from now on or from a later date",
      tag: "prices",
      body: PriceInput,
      response: PriceView,
      status: 201,
      faults: ["request.invalid", "entity.exists", "change.conflict"],
      run: ({ principal }, { body }) => service.create(principal, body),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/prices/import",
      permission: "prices.write",
      summary: "Take over a dated price file, whole or not at all",
      tag: "prices",
      body: PriceFile,
      response: PriceImported,
      status: 200,
      faults: ["request.invalid", "change.conflict"],
      run: ({ principal }, { body }) => service.importFile(principal, body),
    }),
  ];
}
