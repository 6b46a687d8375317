// Routes of upstreams and zones.

import { z } from "zod";
import { defineRoute, type Route } from "../../http/types.ts";
import { asId } from "../../kit/id.ts";
import type { TopologyService } from "./service.ts";
import {
  UpstreamChange,
  UpstreamInput,
  UpstreamList,
  UpstreamTest,
  UpstreamView,
  ZoneList,
} from "./types.ts";

const params = z.object({ id: z.string() });

export function topologyRoutes(service: TopologyService): Route[] {
  return [...upstreamRoutes(service), ...upstreamRoutesById(service), zonesRoute(service)];
}

function upstreamRoutes(service: TopologyService): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/upstreams",
      permission: "upstreams.read",
      summary: "The addresses that answer, with what they serve and how they do",
      tag: "upstreams",
      response: UpstreamList,
      status: 200,
      faults: [],
      run: ({ principal }) => service.listUpstreams(principal),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/upstreams",
      permission: "upstreams.write",
      summary: "Add an OpenAI-compatible upstream; without models, it is asked which it serves",
      tag: "upstreams",
      body: UpstreamInput,
      response: UpstreamView,
      status: 201,
      faults: [
        "request.invalid",
        "entity.exists",
        "upstream.forbidden_address",
        "upstream.unreachable",
        "upstream.timeout",
        "upstream.credential",
        "upstream.refused",
        "upstream.invalid",
        "upstream.too_large",
      ],
      run: ({ principal }, { body }) => service.createUpstream(principal, body),
    }),
  ];
}

function upstreamRoutesById(service: TopologyService): Route[] {
  return [
    defineRoute({
      method: "PATCH",
      path: "/api/v1/upstreams/:id",
      permission: "upstreams.write",
      summary: "Switch an upstream on or off; requests under way finish",
      tag: "upstreams",
      params,
      body: UpstreamChange,
      response: UpstreamView,
      status: 200,
      faults: ["entity.not_found"],
      run: ({ principal }, { params, body }) =>
        service.changeUpstream(principal, asId<"engine">(params.id), body),
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/v1/upstreams/:id",
      permission: "upstreams.write",
      summary: "Remove an upstream; its past requests and costs stay",
      tag: "upstreams",
      params,
      response: z.null(),
      status: 204,
      faults: ["entity.not_found", "upstream.embedded"],
      run: ({ principal }, { params }) =>
        service.removeUpstream(principal, asId<"engine">(params.id)).then(() => null),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/upstreams/:id/test",
      permission: "upstreams.write",
      summary: "Ask an upstream for its models now, with the stored credential",
      tag: "upstreams",
      params,
      response: UpstreamTest,
      status: 200,
      faults: ["entity.not_found"],
      run: ({ principal }, { params }) =>
        service.testUpstream(principal, asId<"engine">(params.id)),
    }),
  ];
}

const zonesRoute = (service: TopologyService) =>
  defineRoute({
    method: "GET",
    path: "/api/v1/zones",
    permission: "zones.read",
    summary: "Zones, their pools, their engines, and whether each is up",
    tag: "zones",
    response: ZoneList,
    status: 200,
    faults: [],
    run: ({ principal }) => service.listZones(principal),
  });
