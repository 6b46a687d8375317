import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { z } from "zod";
import { seedTenant, type Tenant } from "../../billing/tenant.fixture.ts";
import { watchChanges, type Changes } from "../../db/change.fixture.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { openAsk, type Asking } from "../../http/ask.fixture.ts";
import { manualClock, systemDice } from "../../kit/clock.ts";
import { asId, type KeyId } from "../../kit/id.ts";
import type { Role } from "../roles/types.ts";
import { keyRoutes, sessionRoutes } from "./routes.ts";
import { createKeyService, insertKey, NO_LIMITS, type KeyService } from "./service.ts";
import { createSessionService, type SessionService } from "./session.service.ts";
import { KeyCreated, KeyList, SessionView, type KeyKind } from "./types.ts";

const HOUR = 3_600_000;
const hmacKey = new Uint8Array(32).fill(1);
/** After all that the fixture makes by the system's clock. */
const clock = manualClock(Date.parse("2030-01-01T12:00:00Z"));
let changes: Changes;
let database: TestDatabase;
let keys: KeyService;
let sessions: SessionService;
let ask: ReturnType<typeof openAsk>;

beforeAll(async () => {
  database = await openTestDatabase();
  changes = watchChanges(database);
  const change = {
    ...changes.deps,
    clock,
    dice: systemDice,
  } satisfies Partial<Parameters<typeof createKeyService>[0]>;
  keys = createKeyService({
    ...change,
    hmacKey,
    hasProject: async (organisationId, id) => {
      const { rowCount } = await database.pool.query(
        "select from projects where organisation_id = $1 and id = $2",
        [organisationId, id],
      );
      return rowCount === 1;
    },
  });
  sessions = createSessionService({
    ...change,
    sessionKey: new Uint8Array(32).fill(2),
    secureCookie: true,
    keys,
    firmOf: async () => asId("firm_test"),
  });
  ask = openAsk([...keyRoutes(keys), ...sessionRoutes(sessions)], sessions.authenticate);
});
afterAll(() => database.close());

let names = 0;
const newTenant = () => seedTenant(database, `tenant ${(names += 1)}`);
/** As set-up makes a tenant's first keys. `secret`: of another installation, where it is not ours. */
const issue = (
  tenant: Tenant,
  kind: KeyKind,
  role: Role | null,
  { expiresAt = null, secret = hmacKey }: { expiresAt?: Date | null; secret?: Uint8Array } = {},
) =>
  database.db.transaction().execute((trx) =>
    insertKey({ clock, dice: systemDice, hmacKey: secret }, trx, {
      organisationId: tenant.organisationId,
      projectId: asId(tenant.projectId),
      kind,
      role,
      name: role ?? kind,
      limits: NO_LIMITS,
      expiresAt,
    }),
  );
const admin = (tenant: Tenant, role: Role = "owner") => issue(tenant, "admin", role);
const bearer = (token: string): Asking => ({ headers: { authorization: `Bearer ${token}` } });
const make = async (token: string, body: object) => {
  const answer = await ask("POST", "/keys", { ...bearer(token), body });
  expect(answer).toMatchObject({ status: 201 });
  return KeyCreated.parse(answer.body);
};
const list = async (token: string, query = "") =>
  KeyList.parse((await ask("GET", `/keys${query}`, bearer(token))).body);
const revoke = (token: string, id: string) => ask("DELETE", `/keys/${id}`, bearer(token));
const fault = (status: number, code: string, more: object = {}) => ({
  status,
  body: { error: { code, ...more } },
});

describe("a presented key", () => {
  test("401: missing, malformed, of one wrong character, unknown, revoked, expired", async () => {
    const tenant = await newTenant();
    const { token } = await admin(tenant);
    expect(await ask("GET", "/keys")).toMatchObject(fault(401, "session.missing"));
    for (const authorization of ["Basic abc", "Bearer", `Bearer ${token.slice(0, -1)}`, `${token}`])
      expect(await ask("GET", "/keys", { headers: { authorization } })).toMatchObject(
        fault(401, "key.malformed"),
      );
    const forged = await issue(tenant, "admin", "owner", { secret: new Uint8Array(32).fill(9) });
    expect(await ask("GET", "/keys", bearer(forged.token))).toMatchObject(
      fault(401, "key.unknown"),
    );

    const gone = await admin(tenant);
    expect(await revoke(token, gone.key.id)).toMatchObject({ status: 204 });
    expect(await ask("GET", "/keys", bearer(gone.token))).toMatchObject(fault(401, "key.revoked"));
    const brief = await issue(tenant, "admin", "owner", {
      expiresAt: new Date(clock.nowMs() + 1),
    });
    clock.advance(1);
    expect(await ask("GET", "/keys", bearer(brief.token))).toMatchObject(fault(401, "key.expired"));
  });

  test("403: one that calls models, and a role without the permission", async () => {
    const tenant = await newTenant();
    const live = await issue(tenant, "live", null);
    expect(await ask("GET", "/keys", bearer(live.token))).toMatchObject(
      fault(403, "key.not_admin"),
    );
    const finance = await admin(tenant, "finance");
    expect(await ask("GET", "/keys", bearer(finance.token))).toMatchObject(
      fault(403, "permission.denied"),
    );
  });

  test("400: a key and a session cookie at once", async () => {
    const { token } = await admin(await newTenant());
    const headers = { ...bearer(token).headers, cookie: "intertie_session=x" };
    expect(await ask("GET", "/keys", { headers })).toMatchObject(fault(400, "key.ambiguous"));
  });
});

describe("GET /keys", () => {
  test("200: newest first, page after page, without tokens, play keys and other organisations' keys", async () => {
    await admin(await newTenant());
    const tenant = await newTenant();
    const { token } = await admin(tenant);
    await issue(tenant, "play", null);
    clock.advance(1);
    const made = await make(token, { name: "app", kind: "live" });
    const first = await list(token, "?limit=1");
    expect(first.items.map(({ name }) => name)).toEqual(["app"]);
    expect(JSON.stringify(first)).not.toContain(made.token.slice(-20));
    const rest = await list(token, `?limit=10&cursor=${first.next ?? ""}`);
    expect(rest.items.map(({ name }) => name).toSorted()).toEqual(
      ["owner", `tenant ${names} key`].toSorted(),
    );
    expect(rest.next).toBeNull();
  });

  test.each(["0", "201", "x"])("400: limit=%s", async (limit) => {
    const { token } = await admin(await newTenant());
    expect(await ask("GET", `/keys?limit=${limit}`, bearer(token))).toMatchObject(
      fault(400, "request.invalid", { field: "limit" }),
    );
  });
});

describe("POST /keys", () => {
  test("201: the token is shown once, works, and is audited without its secret", async () => {
    const tenant = await newTenant();
    const { token } = await admin(tenant);
    const before = changes.told;
    const made = await make(token, { name: "second", kind: "admin", role: "operator" });
    expect(made.key).toMatchObject({
      projectId: tenant.projectId,
      role: "operator",
      limits: NO_LIMITS,
    });
    expect((await list(made.token)).items.map(({ id }) => id)).toContain(made.key.id);
    expect(changes.audited.at(-1)).toMatchObject({ action: "key.create", subject: made.key.id });
    expect(JSON.stringify(changes.audited)).not.toContain(made.token);
    expect(changes.told).toBe(before + 1);
  });

  test.each([
    ["name", { name: " " }],
    ["kind", { kind: "play" }],
    ["role", { kind: "admin" }],
    ["role", { role: "owner" }],
    ["limits.requestsPerMinute", { limits: { requestsPerMinute: 0 } }],
    ["limits.tokensPerMinute", { limits: { tokensPerMinute: 1.5 } }],
    ["expiresAt", { expiresAt: "2020-01-01T00:00:00Z" }],
    ["secret", { secret: "mine" }],
  ])("400: %s in %j", async (field, change) => {
    const { token } = await admin(await newTenant());
    const body = { name: "app", kind: "live", ...change };
    expect(await ask("POST", "/keys", { ...bearer(token), body })).toMatchObject(
      fault(400, "request.invalid", { field }),
    );
  });

  test("403: a key that may do more than its maker", async () => {
    const { token } = await admin(await newTenant(), "developer");
    const body = { name: "more", kind: "admin", role: "operator" };
    expect(await ask("POST", "/keys", { ...bearer(token), body })).toMatchObject(
      fault(403, "permission.denied", { field: "role" }),
    );
  });

  test("404: a project of another organisation is not found, not forbidden", async () => {
    const [{ token }, other] = [await admin(await newTenant()), await newTenant()];
    const body = { name: "app", kind: "live", projectId: other.projectId };
    expect(await ask("POST", "/keys", { ...bearer(token), body })).toMatchObject(
      fault(404, "entity.not_found", { field: "projectId" }),
    );
  });
});

describe("DELETE /keys/:id", () => {
  test("204: revoked, and revoking again changes nothing", async () => {
    const { token } = await admin(await newTenant());
    const { key } = await make(token, { name: "app", kind: "live" });
    expect(await revoke(token, key.id)).toMatchObject({ status: 204, body: null });
    const [before, at] = [changes.audited.length, (await list(token)).items[0]?.revokedAt];
    clock.advance(1);
    expect(await revoke(token, key.id)).toMatchObject({ status: 204 });
    expect([changes.audited.length, (await list(token)).items[0]?.revokedAt]).toEqual([before, at]);
  });

  test("403: a key that may do more than who revokes it", async () => {
    const tenant = await newTenant();
    const [owner, developer] = [await admin(tenant), await admin(tenant, "developer")];
    expect(await revoke(developer.token, owner.key.id)).toMatchObject(
      fault(403, "permission.denied"),
    );
  });

  test("404: an unknown key, and one of another organisation, which stays as it is", async () => {
    const [mine, theirs] = [await admin(await newTenant()), await admin(await newTenant())];
    for (const id of ["key_none", theirs.key.id])
      expect(await revoke(mine.token, id)).toMatchObject(fault(404, "entity.not_found"));
    expect(await ask("GET", "/keys", bearer(theirs.token))).toMatchObject({ status: 200 });
  });

  test("409: the last owner's key, also when two are revoked at once, whichever comes first", async () => {
    for (let round = 0; round < 8; round += 1) {
      const tenant = await newTenant();
      const [one, two] = [await admin(tenant), await admin(tenant)];
      const answers = await Promise.all([
        revoke(one.token, one.key.id),
        revoke(two.token, two.key.id),
      ]);
      expect(answers.map(({ status }) => status).toSorted()).toEqual([204, 409]);
      const refused = answers.find(({ status }) => status === 409);
      expect(refused).toMatchObject(fault(409, "entity.in_use"));
    }
  });
});

test("a play key is made once for many chats of a session, and its making is audited without its secret", async () => {
  const tenant = await newTenant();
  const { token } = await admin(tenant);
  const headers = new Headers({ authorization: `Bearer ${token}` });
  const principal = await sessions.authenticate(new Request("http://localhost/", { headers }));
  const before = changes.audited.length;
  const play = await keys.mintPlayKey(principal);
  expect(await keys.mintPlayKey(principal)).toBe(play);
  const made = changes.audited.slice(before);
  expect(made).toMatchObject([{ action: "key.create", details: { kind: "play" } }]);
  expect(JSON.stringify(made)).not.toContain(play);
  clock.advance(11 * 60_000);
  expect(await keys.mintPlayKey(principal)).not.toBe(play);
});

const cookieOf = (headers: Headers) => (headers.get("set-cookie") ?? "").split(";")[0] ?? "";
const signIn = async (body: object) => {
  const { status, body: view, headers } = await ask("POST", "/sessions", { body });
  expect(status).toBe(201);
  return { cookie: cookieOf(headers), csrf: SessionView.parse(view).csrf, headers };
};

describe("POST /sessions", () => {
  test("201: with a key; the cookie is out of scripts' and other sites' reach, and the sign-in is audited", async () => {
    const { key, token } = await admin(await newTenant());
    const { cookie, csrf, headers } = await signIn({ key: token });
    expect(headers.get("set-cookie")).toMatch(
      /^intertie_session=[\w-]{43}; HttpOnly; SameSite=Strict; Path=\/; Max-Age=43200; Secure$/,
    );
    expect(csrf).toMatch(/^[0-9a-f]{64}$/);
    expect(changes.audited.at(-1)).toMatchObject({
      action: "session.create",
      actor: key.id,
      details: { by: "key" },
    });
    expect(await ask("GET", "/keys", { headers: { cookie } })).toMatchObject({ status: 200 });
  });

  test("201 and 410: a link works once, for one of two at a time, and for 30 minutes", async () => {
    const { key } = await admin(await newTenant());
    const id: KeyId = asId(key.id);
    const link = await sessions.createLink(id);
    const answers = await Promise.all(
      [link, link].map((each) => ask("POST", "/sessions", { body: { link: each } })),
    );
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 410]);
    expect(changes.audited.at(-1)).toMatchObject({ details: { by: "link" } });
    const late = await sessions.createLink(id);
    clock.advance(HOUR / 2);
    expect(await ask("POST", "/sessions", { body: { link: late } })).toMatchObject(
      fault(410, "link.used"),
    );
  });

  test.each([[{}], [{ key: "a", link: "b" }]])("400: neither or both in %j", async (body) => {
    expect(await ask("POST", "/sessions", { body })).toMatchObject(
      fault(400, "request.invalid", { field: "key" }),
    );
  });

  test("401 and 403: what is no key of an administrator", async () => {
    const tenant = await newTenant();
    const gone = await admin(tenant);
    await admin(tenant);
    await revoke(gone.token, gone.key.id);
    const live = await issue(tenant, "live", null);
    const brief = await issue(tenant, "admin", "owner", { expiresAt: new Date(clock.nowMs()) });
    for (const [body, status, code] of [
      [{ key: "it_admin_typo" }, 401, "key.malformed"],
      [{ link: "unknown" }, 401, "key.unknown"],
      [{ key: gone.token }, 401, "key.revoked"],
      [{ key: brief.token }, 401, "key.expired"],
      [{ key: live.token }, 403, "key.not_admin"],
    ] as const)
      expect(await ask("POST", "/sessions", { body })).toMatchObject(fault(status, code));
  });
});

describe("a session", () => {
  test("200: says who is signed in, with the same CSRF token again", async () => {
    const tenant = await newTenant();
    const { key, token } = await admin(tenant, "auditor");
    const { cookie, csrf } = await signIn({ key: token });
    const { status, body } = await ask("GET", "/session", { headers: { cookie } });
    expect([status, SessionView.parse(body)]).toMatchObject([
      200,
      {
        csrf,
        principal: { keyId: key.id, organisationId: tenant.organisationId, role: "auditor" },
      },
    ]);
    const permissions = z.array(z.string()).parse(SessionView.parse(body).principal.permissions);
    expect(permissions).not.toContain("keys.write");
  });

  test("403: a change without its CSRF token, or with another session's", async () => {
    const { token } = await admin(await newTenant());
    const [mine, other] = [await signIn({ key: token }), await signIn({ key: token })];
    const body = { name: "app", kind: "live" };
    const create = (headers: Record<string, string>) =>
      ask("POST", "/keys", { body, headers: { cookie: mine.cookie, ...headers } });
    expect(await create({})).toMatchObject(fault(403, "session.csrf"));
    expect(await create({ "x-intertie-csrf": other.csrf })).toMatchObject(
      fault(403, "session.csrf"),
    );
    expect(await create({ "x-intertie-csrf": mine.csrf })).toMatchObject({ status: 201 });
  });

  test("204 and 401: signing out ends it here, and no other", async () => {
    const { token } = await admin(await newTenant());
    const [mine, other] = [await signIn({ key: token }), await signIn({ key: token })];
    const out = await ask("DELETE", "/session", {
      headers: { cookie: mine.cookie, "x-intertie-csrf": mine.csrf },
    });
    expect([out.status, out.headers.get("set-cookie")]).toEqual([
      204,
      expect.stringMatching(/^intertie_session=;.*Max-Age=0/),
    ]);
    const get = (cookie: string) => ask("GET", "/session", { headers: { cookie } });
    expect(await get(mine.cookie)).toMatchObject(fault(401, "session.expired"));
    expect(await get(other.cookie)).toMatchObject({ status: 200 });
  });

  test("401: after 12 hours, and as soon as its key is revoked", async () => {
    const tenant = await newTenant();
    const [stays, goes] = [await admin(tenant), await admin(tenant)];
    const { cookie } = await signIn({ key: goes.token });
    await revoke(stays.token, goes.key.id);
    expect(await ask("GET", "/session", { headers: { cookie } })).toMatchObject(
      fault(401, "key.revoked"),
    );
    const long = await signIn({ key: stays.token });
    clock.advance(12 * HOUR);
    expect(await ask("GET", "/session", { headers: { cookie: long.cookie } })).toMatchObject(
      fault(401, "session.expired"),
    );
  });
});
