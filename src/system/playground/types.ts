// Playground: what the console may ask of a model. Anything beyond model and messages passes through to the gateway, which judges it.

import { z } from "zod";

export const PLAYGROUND_BODY_BYTES_MAX = 1_048_576;

export const PlaygroundRequest = z.looseObject({
  model: z.string().min(1).max(200),
  messages: z
    .array(z.looseObject({ role: z.string() }))
    .min(1)
    .max(1_000),
});
export type PlaygroundRequest = z.infer<typeof PlaygroundRequest>;
