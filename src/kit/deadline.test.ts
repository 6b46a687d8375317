import { expect, test } from "bun:test";
import { beforeDeadline } from "./deadline.ts";

const never = new Promise<never>(() => {});

test("the value in time, the other one when it is late, and what late throws", async () => {
  expect(await beforeDeadline(Promise.resolve(7), 1_000, () => "late")).toBe(7);
  expect(await beforeDeadline(never, 1, () => "late")).toBe("late");
  const thrown = beforeDeadline(never, 1, () => {
    throw new Error("too late");
  });
  expect(await thrown.catch(String)).toBe("Error: too late");
  const failed = beforeDeadline(Promise.reject(new Error("away")), 1_000, () => "late");
  expect(await failed.catch(String)).toBe("Error: away");
});
