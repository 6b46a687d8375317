// For tests of upstreams: control's routes over real Postgres, two tenants, and one loopback upstream that has every mood.
// Invariant: a request goes through the whole handler (credential, permission, validation, fault); only who asks is made up.

import type { Transaction } from "kysely";
import { openAudit } from "../../src/audit/log/service.ts";
import { seedTenant, type Tenant } from "../../src/billing/tenant.fixture.ts";
import type { DB } from "../../src/db/schema.gen.ts";
import { openTestDatabase, type TestDatabase } from "../../src/db/test-database.ts";
import { createHttpHandler } from "../../src/http/server.ts";
import { permissionsOf } from "../../src/identity/roles/rules.ts";
import type { Role } from "../../src/identity/roles/types.ts";
import { manualClock, systemClock, systemDice } from "../../src/kit/clock.ts";
import { Fault } from "../../src/kit/fault.ts";
import { asId } from "../../src/kit/id.ts";
import { silentLog } from "../../src/kit/log.ts";
import { ensureVersions, selectModelNames } from "../../src/models/registry/service.ts";
import { markSnapshotDirty } from "../../src/snapshot/store.ts";
import { askEngine } from "../../src/zones/health/ask.ts";
import { checkEngine, selectProbes } from "../../src/zones/health/service.ts";
import { topologyRoutes } from "../../src/zones/topology/routes.ts";
import { createTopologyService } from "../../src/zones/topology/service.ts";
import type { UpstreamView } from "../../src/zones/topology/types.ts";

/** What the upstream's mood `good` wants as bearer. */
export const SECRET = "sk-very-secret-0123456789";
const WITHIN_MS = 200;
const credentialKey = new Uint8Array(32).fill(7);

type Mood = (request: Request) => Response | Promise<Response>;

const MOODS: Readonly<Record<string, Mood>> = {
  good: (request) => {
    if (request.headers.get("authorization") !== `Bearer ${SECRET}`)
      return Response.json({ error: { message: `Incorrect key ${SECRET}` } }, { status: 401 });
    const data = [
      { id: "llama", object: "model", owned_by: "meta", max_model_len: 8192 },
      { id: "qwen", object: "model", owned_by: "vllm" },
      { id: "llama", object: "model", owned_by: "meta", max_model_len: 8192 },
    ];
    return Response.json({ object: "list", data });
  },
  bare: () => Response.json([{ id: "together" }]),
  none: () => Response.json({ object: "list", data: [] }),
  many: () => Response.json({ data: Array.from({ length: 1001 }, (_, at) => ({ id: `m${at}` })) }),
  odd: () => Response.json({ data: [{ id: "fine" }, { id: "not\u0000fine" }] }),
  page: () => new Response("<h1>hello</h1>", { headers: { "content-type": "text/html" } }),
  listless: () => new Response("no such path", { status: 404 }),
  broken: () => new Response("oh", { status: 503 }),
  huge: () => new Response("x".repeat(1_200_000)),
  stuck: () => new Promise(() => {}),
};

/** The mood is the first part of the path; `seen` is what was asked. */
function openUpstream() {
  const seen: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => {
      const { pathname } = new URL(request.url);
      seen.push(`${request.method} ${pathname}`);
      const mood = MOODS[pathname.split("/")[1] ?? ""];
      return pathname.endsWith("/v1/models") && mood
        ? mood(request)
        : new Response(null, { status: 500 });
    },
  });
  const urlOf = (mood: string) => `${server.url.origin}/${mood}/v1`;
  return { seen, urlOf, close: () => server.stop(true) };
}

/** Where nobody listens any more. */
async function goneUrl(): Promise<string> {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  await server.stop(true);
  return `${server.url.origin}/v1`;
}

const principalOf = (tenant: Tenant, role: Role) => ({
  firmId: asId<"firm">("firm_1"),
  organisationId: tenant.organisationId,
  projectId: asId<"proj">(tenant.projectId),
  keyId: asId<"key">(tenant.keyId),
  role,
  permissions: new Set(permissionsOf(role)),
  via: "key" as const,
});

/** `Bearer <tenant's name> <role>` */
function authenticateBy(tenants: Readonly<Record<string, Tenant>>) {
  return async (request: Request) => {
    const [, name, role] = (request.headers.get("authorization") ?? "").split(" ");
    const tenant = tenants[name ?? ""];
    if (!tenant) throw new Fault("key.missing", { message: "no key" });
    // Tests write only names of roles there.
    return principalOf(tenant, role as Role);
  };
}

function wire({ db }: TestDatabase) {
  const clock = manualClock();
  const inTransaction = <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
    db.transaction().execute(work);
  const deps = {
    clock,
    dice: systemDice,
    inTransaction,
    audit: openAudit(systemClock, systemDice),
    markSnapshotDirty,
    credentialKey,
  };
  const service = createTopologyService({
    ...deps,
    models: {
      ensure: (trx, organisationId, wishes) => ensureVersions(deps, trx, organisationId, wishes),
      names: selectModelNames,
    },
    health: {
      ask: (target) => askEngine(systemClock, target, WITHIN_MS),
      check: (engine) => checkEngine(deps, engine),
      probes: selectProbes,
    },
  });
  return { clock, deps, routes: topologyRoutes(service) };
}

export interface Answer<T> {
  readonly status: number;
  readonly text: string;
  readonly body: T;
}
export interface Wrong {
  readonly error: { readonly code: string; readonly field?: string; readonly hint?: string };
}

function asker(handle: (request: Request) => Promise<Response>) {
  return async <T = Wrong>(
    method: string,
    path: string,
    body?: unknown,
    who = "acme owner",
  ): Promise<Answer<T>> => {
    const request = new Request(`http://control/api/v1${path}`, {
      method,
      headers: who === "" ? {} : { authorization: `Bearer ${who}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const response = await handle(request);
    const text = await response.text();
    // What comes back is checked by the assertions on it.
    return { status: response.status, text, body: (text === "" ? null : JSON.parse(text)) as T };
  };
}

function reader({ db }: TestDatabase) {
  const count = async (table: "engines" | "zones" | "models" | "deployments" | "audit_outbox") =>
    (await db.selectFrom(table).selectAll().execute()).length;
  return {
    /** All that a change can leave behind; equal before and after: nothing was written. */
    world: async () => ({
      engines: await count("engines"),
      zones: await count("zones"),
      models: await count("models"),
      deployments: await count("deployments"),
      audited: await count("audit_outbox"),
      changed: (await db.selectFrom("snapshot_dirty").select("changed").executeTakeFirstOrThrow())
        .changed,
    }),
    storedOf: (id: string) =>
      db.selectFrom("engines").selectAll().where("id", "=", id).executeTakeFirstOrThrow(),
    lastAudit: () =>
      db.selectFrom("audit_outbox").selectAll().orderBy("id", "desc").executeTakeFirstOrThrow(),
    deployedAt: (id: string) =>
      db
        .selectFrom("deployments")
        .innerJoin("model_versions", "model_versions.id", "deployments.model_version_id")
        .innerJoin("models", "models.id", "model_versions.model_id")
        .select(["models.name", "upstream_model", "version", "context_tokens", "owned_by"])
        .select("model_version_id")
        .where("engine_id", "=", id)
        .orderBy("models.name")
        .execute(),
  };
}

export async function openTopologyStage() {
  const database = await openTestDatabase();
  const upstream = openUpstream();
  const acme = await seedTenant(database, "acme");
  const rival = await seedTenant(database, "rival");
  const { clock, deps, routes } = wire(database);
  const handle = createHttpHandler({
    host: "127.0.0.1",
    port: 0,
    portFlag: "--port",
    routes,
    authenticate: authenticateBy({ acme, rival }),
    makeRequestId: () => "req_1",
    log: silentLog,
  });
  const ask = asker(handle);
  let added = 0;
  const wish = (mood: string, more: Record<string, unknown> = {}) => ({
    name: `up-${(added += 1)}`,
    baseUrl: upstream.urlOf(mood),
    allowPrivateAddress: true,
    ...more,
  });
  return {
    ...reader(database),
    acme,
    clock,
    deps,
    routes,
    ask,
    /** A body of POST /upstreams. */
    wish,
    add: async (mood: string, more?: Record<string, unknown>) =>
      (await ask<UpstreamView>("POST", "/upstreams", wish(mood, more))).body,
    seen: upstream.seen,
    urlOf: upstream.urlOf,
    goneUrl: await goneUrl(),
    close: async () => {
      await upstream.close();
      await database.close();
    },
  };
}
