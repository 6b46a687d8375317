import { expect, test } from "bun:test";
import { readConfig } from "../config.ts";
import { runRole } from "./role.ts";

test("a role started by itself does not open an address that would show keys in clear", async () => {
  let started = 0;
  const start = async () => {
    started += 1;
    throw new Error("this test starts nothing");
  };
  const open = { INTERTIE_HOST: "0.0.0.0", INTERTIE_LOG_LEVEL: "error" };
  expect(await runRole("gateway", readConfig(open, {}), start)).toBe(1);
  expect(started).toBe(0);
  const proxied = { ...open, INTERTIE_BEHIND_PROXY: "1" };
  await runRole("gateway", readConfig(proxied, {}), start);
  expect(started).toBe(1);
});
