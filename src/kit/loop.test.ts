import { expect, test } from "bun:test";
import { openLoop } from "./loop.ts";

test("one look at a time, failures told, and close lets the last one end", async () => {
  const errors: unknown[] = [];
  let looks = 0;
  let open = 0;
  const third = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const loop = openLoop(
    async () => {
      open += 1;
      expect(open).toBe(1);
      looks += 1;
      if (looks === 3) {
        third.resolve();
        await held.promise;
      }
      open -= 1;
      if (looks === 2) throw new Error("away");
    },
    1,
    (error) => void errors.push(error),
  );
  await third.promise;
  const closed = loop.close();
  held.resolve();
  await closed;
  expect([looks, open, errors.map(String)]).toEqual([3, 0, ["Error: away"]]);
});
