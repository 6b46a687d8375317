// Routes of keys and of console sessions.

import { z } from "zod";
import { defineRoute, type Route } from "../../http/types.ts";
import { asId } from "../../kit/id.ts";
import type { KeyService } from "./service.ts";
import type { SessionService } from "./session.service.ts";
import { KeyCreated, KeyInput, KeyList, KeyQuery, SessionInput, SessionView } from "./types.ts";

export function keyRoutes(service: KeyService): Route[] {
  return [
    defineRoute({
      method: "GET",
      path: "/api/v1/keys",
      permission: "keys.read",
      summary: "The keys of your organisation, newest first, never their secrets",
      tag: "keys",
      query: KeyQuery,
      response: KeyList,
      status: 200,
      faults: [],
      run: ({ principal }, { query }) => service.list(principal, query),
    }),
    defineRoute({
      method: "POST",
      path: "/api/v1/keys",
      permission: "keys.write",
      summary: "Make a key; its token is in this answer and nowhere else",
      tag: "keys",
      body: KeyInput,
      response: KeyCreated,
      status: 201,
      faults: ["entity.not_found"],
      run: ({ principal }, { body }) => service.create(principal, body),
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/v1/keys/:id",
      permission: "keys.write",
      summary: "Revoke a key; every gateway refuses it within 5 seconds",
      tag: "keys",
      params: z.object({ id: z.string() }),
      response: z.null(),
      status: 204,
      faults: ["entity.not_found", "entity.in_use"],
      operationId: "revokeKey",
      run: async ({ principal }, { params }) => {
        await service.revoke(principal, asId<"key">(params.id));
        return null;
      },
    }),
  ];
}

export function sessionRoutes(service: SessionService): Route[] {
  return [
    defineRoute({
      method: "POST",
      path: "/api/v1/sessions",
      permission: "public",
      summary: "Sign in with an admin key or a one-time link; sets the session cookie",
      tag: "sessions",
      body: SessionInput,
      response: SessionView,
      status: 201,
      faults: [
        "key.malformed",
        "key.unknown",
        "key.revoked",
        "key.expired",
        "key.not_admin",
        "link.used",
      ],
      run: (_, { body }) => service.create(body),
    }),
    defineRoute({
      method: "GET",
      path: "/api/v1/session",
      permission: "signed-in",
      summary: "Who is signed in, and the CSRF token of this session",
      tag: "sessions",
      response: SessionView,
      status: 200,
      faults: [],
      run: async ({ principal }) => service.get(principal),
    }),
    defineRoute({
      method: "DELETE",
      path: "/api/v1/session",
      permission: "signed-in",
      summary: "Sign out",
      tag: "sessions",
      response: z.null(),
      status: 204,
      faults: [],
      run: ({ principal }) => service.remove(principal),
    }),
  ];
}
