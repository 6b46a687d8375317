// Keys: make (the token is shown once), list, revoke; and whose key a presented token is.
// Invariant: a token leaves this file only in the answer to its making; what is kept is its HMAC.

import type { Transaction } from "kysely";
import type { ChangeDeps } from "../../db/change.types.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Principal } from "../../http/types.ts";
import type { Clock, Dice } from "../../kit/clock.ts";
import { Fault, type Refusal } from "../../kit/fault.ts";
import { asId, makeId, type KeyId, type OrganisationId, type ProjectId } from "../../kit/id.ts";
import { equalBytes, hmac } from "../../kit/secret.ts";
import type { Role } from "../roles/types.ts";
import { judgeRole, judgeValidity } from "./key.rules.ts";
import { makeToken, parseToken, SECRET_BYTES } from "./rules.ts";
import { openKeyStore } from "./store.ts";
import type {
  Key,
  KeyCreated,
  KeyInput,
  KeyKind,
  KeyLimits,
  KeyList,
  KeyQuery,
  KeyView,
} from "./types.ts";

export interface KeyDeps extends ChangeDeps {
  readonly clock: Clock;
  readonly dice: Dice;
  /** deriveKey(master, 'key-hmac') */
  readonly hmacKey: Uint8Array;
  readonly hasProject: (organisationId: OrganisationId, id: ProjectId) => Promise<boolean>;
}

export interface KeyService {
  list(asker: Principal, query: KeyQuery): Promise<KeyList>;
  create(asker: Principal, input: KeyInput): Promise<KeyCreated>;
  revoke(asker: Principal, id: KeyId): Promise<void>;
  /** For a playground session: a live-like key that lasts 15 minutes; the same one is given again while it has 5 left. */
  mintPlayKey(asker: Principal): Promise<string>;
  /** The valid admin key behind a token; throws the fault that says why not. */
  admit(token: string): Promise<Key & { readonly role: Role }>;
  /** The admin key a session hangs on, as long as it is valid. */
  admitId(id: KeyId): Promise<Key & { readonly role: Role }>;
}

export const NO_LIMITS: KeyLimits = {
  requestsPerMinute: null,
  tokensPerMinute: null,
  concurrentStreams: null,
};
const PLAY_MS = 15 * 60_000;
const PLAY_LEFT_MIN_MS = 5 * 60_000;
const PLAY_KEPT_MAX = 1_000;

const toView = (key: Omit<Key, "ref">): KeyView => ({
  id: key.id,
  name: key.name,
  kind: key.kind,
  role: key.role,
  projectId: key.projectId,
  limits: key.limits,
  createdAt: key.createdAt.toISOString(),
  expiresAt: key.expiresAt?.toISOString() ?? null,
  revokedAt: key.revokedAt?.toISOString() ?? null,
});

function throwRefusal(judged: Refusal | { readonly ok: true }): void {
  if (!judged.ok) throw new Fault(judged.code, judged);
}

export interface NewKey {
  readonly organisationId: OrganisationId;
  readonly projectId: ProjectId;
  readonly kind: KeyKind;
  readonly role: Role | null;
  readonly name: string;
  readonly limits: KeyLimits;
  readonly expiresAt: Date | null;
}

/** Also the seed's way to the first keys. Writes the row and nothing else. */
export async function insertKey(
  deps: Pick<KeyDeps, "clock" | "dice" | "hmacKey">,
  trx: Transaction<DB>,
  wish: NewKey,
): Promise<KeyCreated> {
  const id = makeId("key", deps.clock, deps.dice);
  const secret = new Uint8Array(SECRET_BYTES);
  deps.dice.fill(secret);
  const token = makeToken(wish.kind, id, secret);
  const key = { ...wish, id, revokedAt: null, createdAt: new Date(deps.clock.nowMs()) };
  await openKeyStore(trx).insert({ ...key, hmac: hmac(deps.hmacKey, token) });
  return { key: toView(key), token };
}

async function create(deps: KeyDeps, asker: Principal, input: KeyInput): Promise<KeyCreated> {
  const { organisationId } = asker;
  const role = input.role ?? null;
  throwRefusal(judgeRole(asker.permissions, role));
  const expiresAt = input.expiresAt === undefined ? null : new Date(input.expiresAt);
  if (expiresAt && expiresAt.getTime() <= deps.clock.nowMs()) {
    throw new Fault("request.invalid", { message: "expiresAt: is past", field: "expiresAt" });
  }
  const projectId = input.projectId === undefined ? asker.projectId : asId<"proj">(input.projectId);
  if (!(await deps.hasProject(organisationId, projectId))) {
    throw new Fault("entity.not_found", {
      message: `there is no project ${projectId}`,
      field: "projectId",
    });
  }
  const given = Object.entries(input.limits).filter(([, value]) => value !== undefined);
  const limits = { ...NO_LIMITS, ...Object.fromEntries(given) };
  const { kind, name } = input;
  return deps.inTransaction(async (trx) => {
    const wish = { organisationId, projectId, kind, role, name, limits, expiresAt };
    const created = await insertKey(deps, trx, wish);
    await deps.audit(trx, {
      organisationId,
      actor: asker.keyId,
      action: "key.create",
      subject: created.key.id,
      details: { kind, name, role, projectId },
    });
    await deps.markSnapshotDirty(trx);
    return created;
  });
}

async function revoke(deps: KeyDeps, asker: Principal, id: KeyId): Promise<void> {
  const { organisationId } = asker;
  await deps.inTransaction(async (trx) => {
    const store = openKeyStore(trx);
    const at = new Date(deps.clock.nowMs());
    const owners = await store.selectOwnersForChange(organisationId, at);
    const key = await store.selectForChange(organisationId, id);
    if (!key) throw new Fault("entity.not_found", { message: `there is no key ${id}` });
    if (key.revokedAt) return;
    throwRefusal(judgeRole(asker.permissions, key.role));
    if (key.role === "owner" && owners.every((owner) => owner === id)) {
      throw new Fault("entity.in_use", {
        message: "this is the last owner key: without it nobody could manage this installation",
        hint: "make another admin key with the role owner first",
      });
    }
    await store.updateRevoked(organisationId, id, at);
    await deps.audit(trx, {
      organisationId,
      actor: asker.keyId,
      action: "key.revoke",
      subject: id,
      details: { kind: key.kind, name: key.name },
    });
    await deps.markSnapshotDirty(trx);
  });
}

interface PlayKey {
  readonly token: string;
  readonly expiresAtMs: number;
}

/** Keeps the tokens it minted in memory, a bounded number of them, so that each chat message does not make a key. */
function openPlayMint(deps: KeyDeps): (asker: Principal) => Promise<string> {
  const minted = new Map<string, PlayKey>();
  return async (asker) => {
    const nowMs = deps.clock.nowMs();
    const holder = asker.sessionId ?? asker.keyId;
    const kept = minted.get(holder);
    if (kept && kept.expiresAtMs - nowMs > PLAY_LEFT_MIN_MS) return kept.token;
    const { organisationId, projectId } = asker;
    const expiresAtMs = nowMs + PLAY_MS;
    const { token } = await deps.inTransaction(async (trx) => {
      const created = await insertKey(deps, trx, {
        organisationId,
        projectId,
        kind: "play",
        role: null,
        name: "playground",
        limits: NO_LIMITS,
        expiresAt: new Date(expiresAtMs),
      });
      await deps.audit(trx, {
        organisationId,
        actor: asker.keyId,
        action: "key.create",
        subject: created.key.id,
        details: { kind: "play", name: created.key.name, role: null, projectId },
      });
      await deps.markSnapshotDirty(trx);
      return created;
    });
    if (minted.size >= PLAY_KEPT_MAX) minted.clear();
    minted.set(holder, { token, expiresAtMs });
    return token;
  };
}

function asAdmin(key: Key, nowMs: number): Key & { readonly role: Role } {
  const { role } = key;
  throwRefusal(judgeValidity(key, nowMs));
  if (role === null) {
    throw new Fault("key.not_admin", {
      message: "this key calls models; here an admin key is needed",
      hint: "intertie keys create --kind admin",
    });
  }
  return { ...key, role };
}

async function admit(deps: KeyDeps, token: string): Promise<Key & { readonly role: Role }> {
  const parsed = parseToken(token);
  if (!parsed) {
    throw new Fault("key.malformed", {
      message: "this is no key: a character is missing or wrong",
    });
  }
  const key = await deps.inTransaction((trx) => openKeyStore(trx).selectPresented(parsed.id));
  if (!key || !equalBytes(key.hmac, hmac(deps.hmacKey, token))) {
    throw new Fault("key.unknown", { message: "this key is not known here" });
  }
  return asAdmin(key, deps.clock.nowMs());
}

export function createKeyService(deps: KeyDeps): KeyService {
  return {
    list: async ({ organisationId }, { limit, cursor }) => {
      const keys = await deps.inTransaction((trx) =>
        openKeyStore(trx).selectPage(organisationId, limit + 1, cursor),
      );
      const items = keys.slice(0, limit).map(toView);
      return { items, next: keys.length > limit ? (items.at(-1)?.id ?? null) : null };
    },
    create: (asker, input) => create(deps, asker, input),
    revoke: (asker, id) => revoke(deps, asker, id),
    mintPlayKey: openPlayMint(deps),
    admit: (token) => admit(deps, token),
    admitId: async (id) => {
      const key = await deps.inTransaction((trx) => openKeyStore(trx).selectPresented(id));
      if (!key) throw new Fault("key.unknown", { message: "this key is not known here" });
      return asAdmin(key, deps.clock.nowMs());
    },
  };
}
