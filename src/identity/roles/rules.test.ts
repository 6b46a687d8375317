import { expect, test } from "bun:test";
import { permissionsOf, permits } from "./rules.ts";
import { PERMISSIONS } from "../../http/types.ts";
import { ROLES } from "./types.ts";

test("an owner may do all, an auditor only read", () => {
  for (const permission of PERMISSIONS) expect(permits("owner", permission)).toBe(true);
  for (const permission of permissionsOf("auditor"))
    expect(permission.endsWith(".read")).toBe(true);
});

test("only owner and finance write prices", () => {
  expect(ROLES.filter((role) => permits(role, "prices.write"))).toEqual(["owner", "finance"]);
});

test("a developer cannot add upstreams", () => {
  expect(permits("developer", "upstreams.write")).toBe(false);
});
