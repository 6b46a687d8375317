import { expect, test } from "bun:test";
import { moneyColumn, toPico, usd } from "./format.ts";

test("an amount alone: no places that say nothing, thousands apart, never a zero that is not one", () => {
  const shown = ["0", "0.09", "0.5", "0.159225", "0.0000001", "1.2", "1204.5", "0.1"].map((text) =>
    usd(toPico(text)),
  );
  expect(shown).toEqual([
    "$0.00",
    "$0.09",
    "$0.50",
    "$0.159225",
    "<$0.000001",
    "$1.20",
    "$1,204.50",
    "$0.10",
  ]);
});

test("amounts of a column keep the same places", () => {
  const column = (texts: readonly string[]) => {
    const amounts = texts.map(toPico);
    return amounts.map(moneyColumn(amounts));
  };
  expect(column(["0.000018", "0.0213", "0", "0.00000004"])).toEqual([
    "$0.000018",
    "$0.021300",
    "$0",
    "<$0.000001",
  ]);
  expect(column(["1204.505", "0.021", "0.004"])).toEqual(["$1,204.51", "$0.02", "<$0.01"]);
});
