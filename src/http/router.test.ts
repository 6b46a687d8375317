import { expect, test } from "bun:test";
import { createRouter } from "./router.ts";

const at = (path: string) => ({ method: "GET", path }) as const;
const router = createRouter([
  at("/models"),
  at("/models/:id"),
  at("/models/pulls"),
  at("/models/:id/versions"),
]);

test("a literal wins over a parameter, and a dead end goes back to the parameter", () => {
  expect(router.match("GET", "/models/pulls")).toMatchObject({ route: at("/models/pulls") });
  expect(router.match("GET", "/models/pulls/versions")).toMatchObject({
    route: at("/models/:id/versions"),
    params: { id: "pulls" },
  });
});

test("a parameter is decoded once, and left as it is when it cannot be", () => {
  expect(router.match("GET", "/models/a%252Fb")).toMatchObject({ params: { id: "a%2Fb" } });
  expect(router.match("GET", "/models/%zz")).toMatchObject({ params: { id: "%zz" } });
});

test("an empty segment is no parameter", () => {
  expect(router.match("GET", "/models/").kind).toBe("none");
});

test("another method says which there are", () => {
  expect(router.match("PUT", "/models")).toEqual({ kind: "method", allow: ["GET"] });
});

test("two routes of one shape are refused when the list is built", () => {
  expect(() => createRouter([at("/a/:id"), at("/a/:name")])).toThrow("two routes GET /a/:name");
});
