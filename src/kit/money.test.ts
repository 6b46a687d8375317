import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatDecimal, formatUsd, parseDecimal, PICO } from "./money.ts";

test("decimals round-trip exactly", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 37n), max: 10n ** 37n }), (amount) => {
      expect(parseDecimal(formatDecimal(amount))).toBe(amount);
    }),
  );
});

test.each([
  ["1", PICO],
  ["0.000000000001", 1n],
  ["-2.5", (-5n * PICO) / 2n],
])("%s is parsed", (text, expected) => {
  expect(parseDecimal(text)).toBe(expected);
});

test.each(["", "1e3", "0.0000000000001", ".5", "1.", "NaN", "１"])("%p is refused", (text) => {
  expect(parseDecimal(text)).toBeUndefined();
});

test("people see no zero for a small amount", () => {
  expect(formatUsd(1n)).toBe("<$0.000001");
  expect(formatUsd(0n)).toBe("$0.00");
  expect(formatUsd(1_234_567_890_000n)).toBe("$1.23");
  expect(formatUsd(12_300_000n)).toBe("$0.000012");
});
