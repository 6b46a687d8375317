import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { manualClock } from "../../kit/clock.ts";
import { judgePrice } from "./change.rules.ts";
import { PriceFile } from "./types.ts";

const FOLDER = join(import.meta.dir, "..", "..", "..", "prices");
const names = readdirSync(FOLDER);

test("a dated price file ships", () => {
  expect(names.length).toBeGreaterThan(0);
});

test.each(names)(
  "%s is a price file of that month; each line has its source and an input and output price",
  (name) => {
    const file = PriceFile.parse(JSON.parse(readFileSync(join(FOLDER, name), "utf8")));
    expect(`${file.asOf.slice(0, 7)}.json`).toBe(name);
    const clock = manualClock(Date.parse(`${file.asOf}T00:00:00Z`));
    for (const price of file.prices) {
      expect([price.model, price.source]).toEqual([
        price.model,
        expect.stringMatching(/^https:\/\//),
      ]);
      // A missing line would be billed as nothing; what costs nothing says so.
      expect(Object.keys(price.perMillion)).toEqual(
        expect.arrayContaining(["input_tokens", "output_tokens"]),
      );
      expect(judgePrice([], price, clock.nowMs())).toMatchObject({ ok: true, change: "add" });
    }
    const entries = file.prices.map(({ model, effectiveFrom }) => `${model} ${effectiveFrom}`);
    expect(new Set(entries).size).toBe(entries.length);
    // Each model has a price on the day the file is of, not only later ones.
    const inForce = file.prices.filter((price) => Date.parse(price.effectiveFrom) <= clock.nowMs());
    expect(new Set(inForce.map(({ model }) => model))).toEqual(
      new Set(file.prices.map(({ model }) => model)),
    );
  },
);
