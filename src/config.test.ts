import { expect, test } from "bun:test";
import { readConfig } from "./config.ts";

test("no variable is needed", () => {
  expect(readConfig({}, {}).INTERTIE_GATEWAY_PORT).toBe(4100);
});

test("an unknown INTERTIE_ name is refused by name", () => {
  expect(() => readConfig({ INTERTIE_GATWAY_PORT: "1" }, {})).toThrow("INTERTIE_GATWAY_PORT");
});

test("a wrong value is refused by name", () => {
  expect(() => readConfig({ INTERTIE_GATEWAY_PORT: "x" }, {})).toThrow("INTERTIE_GATEWAY_PORT");
});
