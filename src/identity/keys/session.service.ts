// Who is asking: an admin key in the Authorization header, or a console session in a cookie, which also needs its CSRF token.
// Invariants: secrets are kept only as hashes; a session ends with its key; a link works once, within 30 minutes.

import { createHash, randomBytes } from "node:crypto";
import type { ChangeDeps } from "../../db/change.types.ts";
import { isUnsafe } from "../../http/origin.ts";
import { Reply, type Principal } from "../../http/types.ts";
import type { Clock } from "../../kit/clock.ts";
import { Fault } from "../../kit/fault.ts";
import type { FirmId, KeyId, OrganisationId } from "../../kit/id.ts";
import { equalBytes, hmac } from "../../kit/secret.ts";
import { permissionsOf } from "../roles/rules.ts";
import type { Role } from "../roles/types.ts";
import { openSessionStore } from "./session.store.ts";
import type { Key, SessionInput, SessionView } from "./types.ts";

type AdminKey = Key & { readonly role: Role };

export interface SessionDeps extends Pick<ChangeDeps, "inTransaction" | "audit"> {
  readonly clock: Clock;
  /** deriveKey(master, 'session') */
  readonly sessionKey: Uint8Array;
  /** False only where the console is served without TLS, on loopback. */
  readonly secureCookie: boolean;
  readonly keys: {
    admit(token: string): Promise<AdminKey>;
    admitId(id: KeyId): Promise<AdminKey>;
  };
  readonly firmOf: (organisationId: OrganisationId) => Promise<FirmId>;
}

export interface SessionService {
  authenticate(request: Request): Promise<Principal>;
  create(input: SessionInput): Promise<Reply<SessionView>>;
  get(asker: Principal): SessionView;
  remove(asker: Principal): Promise<Reply<null>>;
  /** The secret that the address `/start?link=…` carries. */
  createLink(keyId: KeyId): Promise<string>;
}

const COOKIE = "intertie_session";
const LINK_MS = 30 * 60_000;
const SESSION_MS = 12 * 3_600_000;

const hashOf = (secret: string) => new Uint8Array(createHash("sha256").update(secret).digest());
const makeSecret = () => randomBytes(32).toString("base64url");
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

function cookieOf(request: Request): string | undefined {
  const cookies = (request.headers.get("cookie") ?? "").split(";").map((each) => each.trim());
  return cookies.find((each) => each.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1);
}

function bearerOf(request: Request): string | undefined {
  const header = request.headers.get("authorization");
  if (header === null) return undefined;
  const match = /^bearer +(\S+)$/i.exec(header);
  if (match?.[1] !== undefined) return match[1];
  throw new Fault("key.malformed", { message: "the header must read `authorization: Bearer KEY`" });
}

async function principalOf(
  deps: SessionDeps,
  key: AdminKey,
  sessionId?: string,
): Promise<Principal> {
  return {
    firmId: await deps.firmOf(key.organisationId),
    organisationId: key.organisationId,
    projectId: key.projectId,
    keyId: key.id,
    role: key.role,
    permissions: new Set(permissionsOf(key.role)),
    ...(sessionId === undefined ? { via: "key" } : { via: "session", sessionId }),
  };
}

/** Follows from the session, so that a reloaded page can ask for it again. */
const csrfOf = (deps: SessionDeps, sessionId: string) =>
  hex(hmac(deps.sessionKey, `csrf:${sessionId}`));

function toView(deps: SessionDeps, principal: Principal): SessionView {
  const { organisationId, projectId, keyId, role, permissions, sessionId } = principal;
  return {
    csrf: sessionId === undefined ? "" : csrfOf(deps, sessionId),
    principal: { organisationId, projectId, keyId, role, permissions: [...permissions] },
  };
}

async function bySession(deps: SessionDeps, secret: string, request: Request): Promise<Principal> {
  const hash = hashOf(secret);
  const session = await deps.inTransaction((trx) => openSessionStore(trx).selectSession(hash));
  if (!session || session.expiresAt.getTime() <= deps.clock.nowMs()) {
    throw new Fault("session.expired", { message: "your session has ended: sign in again" });
  }
  const csrf = hashOf(request.headers.get("x-intertie-csrf") ?? "");
  if (isUnsafe(request.method) && !equalBytes(csrf, session.csrfHash)) {
    throw new Fault("session.csrf", {
      message: "the header x-intertie-csrf is missing or belongs to another session",
    });
  }
  return principalOf(deps, await deps.keys.admitId(session.keyId), hex(hash));
}

async function authenticate(deps: SessionDeps, request: Request): Promise<Principal> {
  const bearer = bearerOf(request);
  const cookie = cookieOf(request);
  if (bearer !== undefined && cookie !== undefined) {
    throw new Fault("key.ambiguous", { message: "send a key or a session cookie, not both" });
  }
  if (bearer !== undefined) return principalOf(deps, await deps.keys.admit(bearer));
  if (cookie !== undefined) return bySession(deps, cookie, request);
  throw new Fault("session.missing", {
    message: "sign in, or send an admin key as `authorization: Bearer KEY`",
  });
}

async function keyBehindLink(deps: SessionDeps, link: string): Promise<AdminKey> {
  const hash = hashOf(link);
  const keyId = await deps.inTransaction(async (trx) => {
    const store = openSessionStore(trx);
    const taken = await store.takeLink(hash, new Date(deps.clock.nowMs()));
    if (taken) return taken;
    if (await store.hasLink(hash)) {
      throw new Fault("link.used", {
        message: "this link was used already, or its 30 minutes are over",
        hint: "sign in with an admin key, or run `intertie up` again for a fresh link",
      });
    }
    throw new Fault("key.unknown", { message: "this link is not known here" });
  });
  return deps.keys.admitId(keyId);
}

function setCookie(deps: SessionDeps, value: string, maxAgeMs: number): Record<string, string> {
  const parts = [
    `${COOKIE}=${value}`,
    "HttpOnly",
    "SameSite=Strict",
    "Path=/",
    `Max-Age=${maxAgeMs / 1000}`,
    ...(deps.secureCookie ? ["Secure"] : []),
  ];
  return { "set-cookie": parts.join("; ") };
}

async function create(deps: SessionDeps, input: SessionInput): Promise<Reply<SessionView>> {
  const { link, key: token = "" } = input;
  const key = await (link === undefined ? deps.keys.admit(token) : keyBehindLink(deps, link));
  const secret = makeSecret();
  const hash = hashOf(secret);
  const principal = await principalOf(deps, key, hex(hash));
  const view = toView(deps, principal);
  const nowMs = deps.clock.nowMs();
  const session = {
    keyId: key.id,
    csrfHash: hashOf(view.csrf),
    expiresAt: new Date(nowMs + SESSION_MS),
  };
  await deps.inTransaction(async (trx) => {
    const store = openSessionStore(trx);
    await store.deleteExpired(new Date(nowMs));
    await store.insertSession(hash, session, new Date(nowMs));
    await deps.audit(trx, {
      organisationId: key.organisationId,
      actor: key.id,
      action: "session.create",
      subject: key.id,
      details: { by: link === undefined ? "key" : "link" },
    });
  });
  return new Reply(view, setCookie(deps, secret, SESSION_MS));
}

export function createSessionService(deps: SessionDeps): SessionService {
  return {
    authenticate: (request) => authenticate(deps, request),
    create: (input) => create(deps, input),
    get: (asker) => toView(deps, asker),
    remove: async ({ sessionId }) => {
      if (sessionId !== undefined) {
        const hash = new Uint8Array(Buffer.from(sessionId, "hex"));
        await deps.inTransaction((trx) => openSessionStore(trx).deleteSession(hash));
      }
      return new Reply(null, setCookie(deps, "", 0));
    },
    createLink: async (keyId) => {
      const secret = makeSecret();
      const expiresAt = new Date(deps.clock.nowMs() + LINK_MS);
      await deps.inTransaction((trx) =>
        openSessionStore(trx).insertLink(hashOf(secret), keyId, expiresAt),
      );
      return secret;
    },
  };
}
