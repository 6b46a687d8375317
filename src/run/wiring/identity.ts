// The identity wing's services, wired: used by control for every request and by set-up for the first keys and the console link.

import { createKeyService, type KeyService } from "../../identity/keys/service.ts";
import { createSessionService, type SessionService } from "../../identity/keys/session.service.ts";
import { createOrgService, type OrgService } from "../../identity/orgs/service.ts";
import type { Foundation } from "./foundation.ts";

export interface Identity {
  readonly orgs: OrgService;
  readonly keys: KeyService;
  readonly sessions: SessionService;
}

/** `secureCookie`: false only where the console is served without TLS, on loopback. */
export function createIdentity(foundation: Foundation, secureCookie: boolean): Identity {
  const orgs = createOrgService(foundation);
  const { derived } = foundation.keys;
  const keys = createKeyService({
    ...foundation,
    hmacKey: derived("key-hmac"),
    hasProject: orgs.hasProject,
  });
  const sessions = createSessionService({
    ...foundation,
    sessionKey: derived("session"),
    secureCookie,
    keys,
    firmOf: orgs.firmOf,
  });
  return { orgs, keys, sessions };
}
