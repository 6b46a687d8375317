import { expect, test } from "bun:test";
import { torture } from "./torture.ts";

test("kill -9 and power losses at random points: nothing acknowledged is lost, nothing is billed twice, all sums agree", async () => {
  const result = await torture({
    kills: 15,
    losses: 40,
    seed: 20_261_124,
    say: () => {},
    onKill: () => {},
  });
  expect(result).toMatchObject({
    name: "torture",
    lost: 0,
    doubled: 0,
    unaccounted: 0,
    flaws: [],
  });
  expect(result.acknowledged).toBeGreaterThan(100);
  expect(result.facts).toBeGreaterThan(50);
}, 120_000);
