import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { seedTenant, type Tenant } from "../../billing/tenant.fixture.ts";
import { watchChanges, type Changes } from "../../db/change.fixture.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { openAsk, someone } from "../../http/ask.fixture.ts";
import { systemClock, systemDice } from "../../kit/clock.ts";
import { projectRoutes } from "./routes.ts";
import { createOrgService } from "./service.ts";
import { ProjectList, ProjectView } from "./types.ts";

let database: TestDatabase;
let tenant: Tenant;
let stranger: Tenant;
let ask: ReturnType<typeof openAsk>;
let changes: Changes;

beforeAll(async () => {
  database = await openTestDatabase();
  changes = watchChanges(database);
  [tenant, stranger] = [await seedTenant(database), await seedTenant(database, "stranger")];
  ask = openAsk(
    projectRoutes(
      createOrgService({
        ...changes.deps,
        clock: systemClock,
        dice: systemDice,
      }),
    ),
  );
});
afterAll(() => database.close());

const writer = () => someone(tenant.organisationId, ["projects.write"]);
const create = (body: object) => ask("POST", "/projects", { as: writer(), body });
const change = (id: string, body: object) =>
  ask("PATCH", `/projects/${id}`, { as: writer(), body });
const made = async (body: object) => {
  const { status, body: view } = await create(body);
  expect(status).toBe(201);
  return ProjectView.parse(view);
};
const list = async (whose = tenant) => {
  const as = someone(whose.organisationId, ["projects.read"]);
  return ProjectList.parse((await ask("GET", "/projects", { as })).body).items;
};
const NO_LIMITS = { requestsPerMinute: null, tokensPerMinute: null, concurrentStreams: null };

test.each([
  ["GET", "/projects", "projects.read"],
  ["POST", "/projects", "projects.write"],
  ["PATCH", "/projects/proj_1", "projects.write"],
] as const)("401 and 403: %s %s needs a credential and %s", async (method, path, permission) => {
  expect(await ask(method, path)).toMatchObject({ status: 401 });
  const other = permission === "projects.read" ? "projects.write" : "projects.read";
  const as = someone(tenant.organisationId, [other]);
  expect(await ask(method, path, { as })).toMatchObject({
    status: 403,
    body: { error: { code: "permission.denied" } },
  });
});

test("200: GET lists the organisation's own projects and no other's", async () => {
  const { id } = await made({ name: "listed" });
  expect((await list()).map((project) => project.id)).toEqual([tenant.projectId, id]);
  expect((await list(stranger)).map((project) => project.id)).toEqual([stranger.projectId]);
});

describe("POST /projects", () => {
  test("201: with limits and a spend limit exact to the last place, audited and told to the snapshot", async () => {
    const before = changes.told;
    const limits = { requestsPerMinute: 60 };
    const project = await made({
      name: "Búsqueda 2",
      limits,
      monthlySpendLimit: "99.000000000001",
    });
    expect(project).toMatchObject({
      name: "Búsqueda 2",
      limits: { ...NO_LIMITS, requestsPerMinute: 60 },
      monthlySpendLimit: "99.000000000001",
    });
    expect(changes.audited.at(-1)).toMatchObject({ action: "project.create", subject: project.id });
    expect(changes.told).toBe(before + 1);
  });

  test.each([
    ["name", { name: "" }],
    ["name", { name: "a/b" }],
    ["monthlySpendLimit", { monthlySpendLimit: "-1" }],
    ["monthlySpendLimit", { monthlySpendLimit: 5 }],
    ["monthlySpendLimit", { monthlySpendLimit: "0.0000000000001" }],
    ["limits.concurrentStreams", { limits: { concurrentStreams: 0 } }],
    ["limits.requests", { limits: { requests: 1 } }],
    ["owner", { owner: "me" }],
  ])("400: %s in %j", async (field, wrong) => {
    expect(await create({ name: "refused", ...wrong })).toMatchObject({
      status: 400,
      body: { error: { code: "request.invalid", field } },
    });
  });

  test("409: a name that is taken, in this organisation only", async () => {
    await made({ name: "taken" });
    expect(await create({ name: "taken" })).toMatchObject({
      status: 409,
      body: { error: { code: "entity.exists", field: "name" } },
    });
    const as = someone(stranger.organisationId, ["projects.write"]);
    expect(await ask("POST", "/projects", { as, body: { name: "taken" } })).toMatchObject({
      status: 201,
    });
  });
});

describe("PATCH /projects/:id", () => {
  test("200: what is absent stays, null takes a limit away", async () => {
    const limits = { requestsPerMinute: 60, tokensPerMinute: 1_000 };
    const { id } = await made({ name: "changed", limits, monthlySpendLimit: "10" });
    expect(await change(id, { limits: { requestsPerMinute: null } })).toMatchObject({
      status: 200,
      body: { limits: { ...NO_LIMITS, tokensPerMinute: 1_000 }, monthlySpendLimit: "10" },
    });
    expect(await change(id, { monthlySpendLimit: null })).toMatchObject({
      status: 200,
      body: { limits: { tokensPerMinute: 1_000 }, monthlySpendLimit: null },
    });
    expect((await list()).find((project) => project.id === id)).toMatchObject({
      limits: { requestsPerMinute: null, tokensPerMinute: 1_000 },
      monthlySpendLimit: null,
    });
    expect(changes.audited.at(-1)).toMatchObject({ action: "project.change", subject: id });
  });

  test("200: two changes at once both count", async () => {
    const { id } = await made({ name: "raced" });
    await Promise.all([
      change(id, { limits: { requestsPerMinute: 1 } }),
      change(id, { limits: { tokensPerMinute: 2 } }),
      change(id, { monthlySpendLimit: "3" }),
    ]);
    expect((await list()).find((project) => project.id === id)).toMatchObject({
      limits: { requestsPerMinute: 1, tokensPerMinute: 2 },
      monthlySpendLimit: "3",
    });
  });

  test("400: a limit below one, and a name, which is not changed here", async () => {
    for (const [field, body] of [
      ["limits.tokensPerMinute", { limits: { tokensPerMinute: 0 } }],
      ["name", { name: "other" }],
    ] as const)
      expect(await change(tenant.projectId, body)).toMatchObject({
        status: 400,
        body: { error: { code: "request.invalid", field } },
      });
  });

  test("404: an unknown project, and one of another organisation, which stays as it is", async () => {
    for (const id of ["proj_none", stranger.projectId])
      expect(await change(id, { monthlySpendLimit: "1" })).toMatchObject({
        status: 404,
        body: { error: { code: "entity.not_found" } },
      });
    expect((await list(stranger))[0]).toMatchObject({ monthlySpendLimit: null });
  });
});
