// Relays a console's chat to a gateway with a short-lived play key, so that the playground walks the same path as any caller.
// Invariants: the play key never reaches the browser; when the reader leaves, the gateway's request is cancelled.

import { parseJson, readBody } from "../../http/json.ts";
import type { Principal } from "../../http/types.ts";
import { Fault } from "../../kit/fault.ts";
import { nearTls } from "../../kit/loopback.ts";
import { PLAYGROUND_BODY_BYTES_MAX, PlaygroundRequest } from "./types.ts";

export interface PlaygroundDeps {
  /** Origin of a gateway that was heard from lately, e.g. `http://127.0.0.1:4100`. */
  readonly gatewayAddress: () => Promise<string | undefined>;
  readonly mintPlayKey: (principal: Principal) => Promise<string>;
}

export type PlaygroundHandler = (request: Request, principal: Principal) => Promise<Response>;

const BODY_WITHIN_MS = 15_000;
/** A key that was minted just now is known to every gateway within this. */
const KEY_SPREADS_MS = 5_000;
const TRY_AGAIN_MS = 50;

/** What the browser may see of the gateway's answer. */
const RELAYED = ["content-type", "x-request-id", "x-intertie-fault", "retry-after"];

/** Mounted by control at POST /api/v1/playground/chat; throws Faults like any route. */
export function playgroundHandler(deps: PlaygroundDeps): PlaygroundHandler {
  return async (request, principal) => {
    if (!principal.permissions.has("playground.use"))
      throw new Fault("permission.denied", {
        message: `the role ${principal.role} may not use the playground`,
        hint: "sign in with a key of the role owner, operator or developer",
      });
    const body = parseBody(await readBody(request, PLAYGROUND_BODY_BYTES_MAX, BODY_WITHIN_MS));
    const [address, key] = await Promise.all([deps.gatewayAddress(), deps.mintPlayKey(principal)]);
    if (address === undefined)
      throw new Fault("upstream.unreachable", {
        message: "no gateway has been heard from lately",
        hint: "see the gateways on the system page",
      });
    return relay(address, key, body, request.signal);
  };
}

function parseBody(text: string): PlaygroundRequest {
  const parsed = PlaygroundRequest.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new Fault("request.invalid", {
    message: issue?.message ?? "not a chat request",
    field: issue?.path.join(".") ?? "",
  });
}

async function relay(
  address: string,
  key: string,
  body: PlaygroundRequest,
  signal: AbortSignal,
): Promise<Response> {
  const answer = await sendOnceKnown(() => send(address, key, body, signal));
  const headers = new Headers({ "cache-control": "no-store" });
  for (const name of RELAYED) {
    const value = answer.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  // Handing the stream on whole lets the server cancel it, and with it the gateway's request, when the reader leaves.
  return new Response(answer.body, { status: answer.status, headers });
}

/** The first chat of a session comes with a key that the gateway has perhaps not heard of yet. */
async function sendOnceKnown(send: () => Promise<Response>): Promise<Response> {
  for (const endMs = performance.now() + KEY_SPREADS_MS; ;) {
    const answer = await send();
    const isKnown = answer.headers.get("x-intertie-fault") !== "key.unknown";
    if (isKnown || performance.now() >= endMs) return answer;
    await answer.body?.cancel();
    await Bun.sleep(TRY_AGAIN_MS);
  }
}

async function send(address: string, key: string, body: PlaygroundRequest, signal: AbortSignal) {
  try {
    return await fetch(new URL("/v1/chat/completions", address), {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
      signal,
      ...nearTls(address),
    });
  } catch (cause) {
    throw new Fault("upstream.unreachable", {
      message: "the gateway did not answer",
      hint: "see the gateways on the system page",
      cause,
    });
  }
}
