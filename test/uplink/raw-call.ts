// Calls to control's end of the uplink as a gateway of version 1 makes them, wrong ones included.

import { bearerOf } from "../../src/uplink/rules.ts";
import { uplinkKey } from "./control.ts";

export interface Ask {
  readonly method?: string;
  readonly epoch?: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  readonly url: string;
}

export const credential = (gateway: string) => ({
  authorization: `Bearer ${bearerOf(uplinkKey, gateway)}`,
  "x-intertie-gateway": gateway,
});

export function send(gateway: string, path: string, ask: Ask): Promise<Response> {
  const { epoch, body, method = body === undefined ? "GET" : "POST" } = ask;
  const raw = typeof body === "string" || body instanceof Uint8Array;
  return fetch(`${ask.url}/uplink/${path}`, {
    method,
    headers: {
      ...credential(gateway),
      ...(epoch === undefined ? {} : { "x-intertie-epoch": String(epoch) }),
      ...ask.headers,
    },
    ...(body === undefined ? {} : { body: raw ? (body as string) : JSON.stringify(body) }),
  });
}

export async function refusal(response: Response) {
  const { error } = (await response.json()) as {
    error: { code: string; field?: string; message: string };
  };
  return [response.status, error.code, error.field] as const;
}

/** As version 1 writes them: recorded, never to be changed. */
export const V1 = {
  session:
    '{"uplinkVersion":1,"cell":"local","address":"http://127.0.0.1:4100","productVersion":"0.1.0","resumes":null,"recoveredUpTo":0}',
  leases:
    '{"sequence":1,"sharePpm":0,"declares":[{"resource":"streams:key:key_1","amount":"2"}],"takes":[{"resource":"spend:project:proj_1:2026-11","need":"1000000000000000000000","want":"2000000000000000000000"}],"gives":[{"resource":"tokens:project:proj_1","amount":"5"}]}',
};
export const session = JSON.parse(V1.session) as Record<string, unknown>;

/** A session by hand. */
export async function begin(gateway: string, url: string) {
  const answer = await send(gateway, "v1/session", { body: session, url });
  const { epoch } = (await answer.json()) as { epoch: number };
  return { gateway, epoch };
}
export const noLeases = { sequence: 1, sharePpm: 0, declares: [], takes: [], gives: [] };
