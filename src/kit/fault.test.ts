import { expect, test } from "bun:test";
import { Fault, FAULTS, isFault, refuse } from "./fault.ts";

test("every fault code is noun.reason and has an error status", () => {
  for (const [code, status] of Object.entries(FAULTS)) {
    expect(code).toMatch(/^[a-z]+(\.[a-z_]+)?$/);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(600);
  }
});

test("a fault carries its status, field and cause", () => {
  const cause = new Error("socket");
  const fault = new Fault("request.invalid", { message: "no", field: "max_tokens", cause });
  expect(fault.status).toBe(400);
  expect(fault.field).toBe("max_tokens");
  expect(fault.cause).toBe(cause);
  expect(isFault(fault)).toBe(true);
  expect(isFault(new Error("x"))).toBe(false);
});

test("a refusal is a plain value", () => {
  expect(refuse("limit.requests", "slow down", { retryAfterSeconds: 3 })).toEqual({
    ok: false,
    code: "limit.requests",
    message: "slow down",
    retryAfterSeconds: 3,
  });
});
