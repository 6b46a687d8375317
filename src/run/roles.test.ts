import { expect, test } from "bun:test";
import { readConfig } from "../config.ts";
import { planRoles } from "./roles.ts";

test("no role gets a person's admin key, and neither gateway nor engine the database's address", () => {
  const surroundings = { INTERTIE_ADMIN_KEY: "it_admin_secret", INTERTIE_MASTER_KEY: "m" };
  const plans = planRoles(readConfig({}, surroundings), "postgres://secret@host/db", 2);
  expect(plans.map(({ name }) => name)).toEqual([
    "engine",
    "control",
    "worker",
    "gateway-0",
    "gateway-1",
  ]);
  for (const { role, settings } of plans) {
    expect(settings["INTERTIE_MASTER_KEY"]).toBe("m");
    expect(JSON.stringify(settings)).not.toContain("it_admin_secret");
    expect("DATABASE_URL" in settings).toBe(role === "control" || role === "worker");
  }
});
