// Route of the playground: a chat of a console session, relayed to a gateway.

import type { RawRoute } from "../../http/types.ts";
import type { PlaygroundHandler } from "./handler.ts";
import { PlaygroundRequest } from "./types.ts";

export function playgroundRoutes(handle: PlaygroundHandler): RawRoute[] {
  return [
    {
      method: "POST",
      path: "/api/v1/playground/chat",
      permission: "playground.use",
      summary: "Ask a model as a caller would, streamed, with a key of a few minutes",
      tag: "playground",
      body: PlaygroundRequest,
      answers: "text/event-stream",
      faults: ["upstream.unreachable"],
      handle: (request, principal) => handle(request, principal),
    },
  ];
}
