import { expect, test } from "bun:test";
import { datedOf } from "./prices.rules.ts";

const price = (model: string, effectiveFrom: string) => ({
  id: `${model} ${effectiveFrom}`,
  model,
  effectiveFrom,
  source: "",
  perMillion: {},
});

test("of the versions that have begun the newest is in force, later ones are planned, earlier ones past", () => {
  const prices = [
    price("a", "2026-01-01T00:00:00Z"),
    price("b", "2026-05-01T00:00:00Z"),
    price("a", "2026-03-01T00:00:00Z"),
    price("a", "2026-09-01T00:00:00Z"),
  ];
  expect(
    datedOf(prices, Date.parse("2026-05-01T00:00:00Z")).map(
      ({ price: { model, effectiveFrom }, standing }) =>
        `${model} ${effectiveFrom.slice(5, 7)} ${standing}`,
    ),
  ).toEqual(["a 09 planned", "a 03 in force", "a 01 past", "b 05 in force"]);
});
