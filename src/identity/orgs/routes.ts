// Routes of projects.

import { z } from "zod";
import { defineRoute, type Route } from "../../http/types.ts";
import { asId } from "../../kit/id.ts";
import type { OrgService } from "./service.ts";
import { ProjectChange, ProjectInput, ProjectList, ProjectView } from "./types.ts";

export function projectRoutes(service: OrgService): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/projects",
      permission: "projects.read",
      summary: "The projects of your organisation with their limits",
      tag: "projects",
      response: ProjectList,
      status: 200,
      faults: [],
      run: ({ principal }) => service.list(principal),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/projects",
      permission: "projects.write",
      summary: "Make a project",
      tag: "projects",
      body: ProjectInput,
      response: ProjectView,
      status: 201,
      faults: ["entity.exists"],
      run: ({ principal }, { body }) => service.create(principal, body),
    }),
    defineRoute({
      method: "PATCH",
      path: "/api/v1/projects/:id",
      permission: "projects.write",
      summary: "Change a project's limits; an absent limit stays, null takes it away",
      tag: "projects",
      params: z.object({ id: z.string() }),
      body: ProjectChange,
      response: ProjectView,
      status: 200,
      faults: ["entity.not_found"],
      run: ({ principal }, { params, body }) =>
        service.change(principal, asId<"proj">(params.id), body),
    }),
  ];
}
