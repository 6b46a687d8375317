// Routes of the status room: the start page's checklist and the system page.

import { defineRoute, type Route } from "../../http/types.ts";
import type { StatusService } from "./service.ts";
import { Checklist, SystemInfo } from "./types.ts";

export function statusRoutes(service: StatusService): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/checklist",
      permission: "signed-in",
      summary: "What the first steps are and which of them have really happened",
      tag: "system",
      response: Checklist,
      status: 200,
      faults: [],
      run: ({ principal }) => service.checklist(principal),
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/system",
      permission: "system.read",
      summary: "Version, migrations, gateways and how far this installation is exposed",
      tag: "system",
      response: SystemInfo,
      status: 200,
      faults: [],
      run: () => service.system(),
    }),
  ];
}
