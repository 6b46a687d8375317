// For tests: asks a room's routes through the whole HTTP handler, without a socket, as somebody with certain permissions.
// Invariant: every step a real request takes is taken, credentials apart; nothing here runs in the product.

import { Fault } from "../kit/fault.ts";
import { asId, type KeyId, type OrganisationId, type ProjectId } from "../kit/id.ts";
import { silentLog } from "../kit/log.ts";
import { createHttpHandler } from "./server.ts";
import type { Permission, Principal, Route } from "./types.ts";

export interface Asked {
  readonly status: number;
  readonly headers: Headers;
  /** Null where there is none. */
  readonly body: unknown;
}

export interface Asking {
  readonly as?: Principal;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Somebody of an organisation who may do just this. */
export function someone(
  organisationId: OrganisationId,
  permissions: readonly Permission[],
  change: Partial<Principal> = {},
): Principal {
  return {
    firmId: asId("firm_test"),
    organisationId,
    projectId: asId<"proj">("proj_test") satisfies ProjectId,
    keyId: asId<"key">("key_test") satisfies KeyId,
    role: "tester",
    permissions: new Set(permissions),
    via: "key",
    ...change,
  };
}

/** `authenticate`: of the session service, where credentials are what is tested; else `as` says who asks, nobody by default. */
export function openAsk(
  routes: readonly Route[],
  authenticate?: (request: Request) => Promise<Principal>,
) {
  return async (method: string, path: string, asking: Asking = {}): Promise<Asked> => {
    const handle = createHttpHandler({
      host: "localhost",
      port: 0,
      portFlag: "",
      routes,
      authenticate:
        authenticate ??
        (async () => {
          if (asking.as) return asking.as;
          throw new Fault("session.missing", { message: "nobody is signed in" });
        }),
      makeRequestId: () => "req_test",
      log: silentLog,
    });
    const response = await handle(
      new Request(`http://localhost/api/v1${path}`, {
        method,
        headers: { "content-type": "application/json", ...asking.headers },
        ...(asking.body === undefined ? {} : { body: JSON.stringify(asking.body) }),
      }),
    );
    const text = await response.text();
    const { status, headers } = response;
    return { status, headers, body: text === "" ? null : JSON.parse(text) };
  };
}
