import { expect, test } from "bun:test";
import { operationIdOf } from "../http/operation.rules.ts";
import { refsIn, type Operation } from "../http/openapi.ts";
import { PERMISSIONS } from "../http/types.ts";
import { FAULTS } from "../kit/fault.ts";
import { controlOpenApi, controlRoutes, type Services } from "./routes.ts";
import { ANSWERS, BODIES } from "./shapes.ts";

const document = controlOpenApi();
// Only the lists are read here; no route runs.
const { routes, rawRoutes } = controlRoutes({} as Services);
const all = [...routes, ...rawRoutes];
const operations: readonly Operation[] = Object.values(document.paths).flatMap((methods) =>
  Object.values(methods),
);

test("every route is an operation with a name of its own", () => {
  const ids = operations.map((operation) => operation.operationId);
  expect(ids.length).toBe(all.length);
  expect(new Set(ids).size).toBe(ids.length);
  for (const id of ids) expect(id).toMatch(/^[a-z][A-Za-z0-9]+$/);
});

test("every operation says what it does, what it needs and under which heading it stands", () => {
  const headings = new Map(document.tags.map(({ name, description }) => [name, description]));
  for (const operation of operations) {
    expect(operation.summary.length).toBeGreaterThan(3);
    const permission = /`([a-z.]+)`/.exec(operation.description)?.[1];
    if (permission === undefined) expect(operation.description).toMatch(/^Needs (no|any) /);
    else expect(PERMISSIONS.some((known) => known === permission)).toBe(true);
    for (const tag of operation.tags) expect(headings.get(tag)).toBeTruthy();
  }
});

test("every reference resolves, every schema is used", () => {
  const { schemas } = document.components;
  const mentioned = new Set([...refsIn(document.paths), ...refsIn(schemas)]);
  expect([...mentioned].filter((name) => !(name in schemas))).toEqual([]);
  expect(Object.keys(schemas).filter((name) => !mentioned.has(name))).toEqual([]);
});

test("what stands in a path is a parameter of it, and the other way round", () => {
  for (const [path, methods] of Object.entries(document.paths)) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "");
    for (const { parameters = [] } of Object.values(methods))
      expect(parameters.filter((each) => each.in === "path").map(({ name }) => name)).toEqual(
        inPath,
      );
  }
});

test("every status of every fault is described, and changes by cookie need the CSRF token", () => {
  for (const route of all) {
    const operation = operations.find((each) => each.operationId === operationIdOf(route));
    for (const code of route.faults)
      expect(operation?.responses[FAULTS[code]]?.description).toContain(`\`${code}\``);
    const cookie = operation?.security.find((each) => "session" in each);
    if (route.permission === "public") expect(operation?.security).toEqual([]);
    else expect(cookie && "csrf" in cookie).toBe(route.method !== "GET");
  }
});

test("every body and answer has a public name", () => {
  const unnamed = Object.keys(document.components.schemas).filter(
    (name) => name !== "ErrorAnswer" && !(name in BODIES) && !(name in ANSWERS),
  );
  expect(unnamed).toEqual([]);
});

test("every named shape is in the document, and its example is one", () => {
  for (const [name, { shape, example }] of Object.entries({ ...ANSWERS, ...BODIES })) {
    expect(Object.keys(document.components.schemas)).toContain(name);
    if (example !== undefined) expect(shape.safeParse(example).error).toBeUndefined();
  }
});

test("the document is served as it is generated", async () => {
  const again = controlRoutes({} as Services);
  const answer = again.rawRoutes.find((route) => route.path.endsWith("openapi.json"));
  const served = await answer?.handle(new Request("http://localhost/"), {} as never, "req_1");
  expect(await served?.json()).toEqual(JSON.parse(JSON.stringify(document)));
});
