import { expect, test } from "bun:test";
import fc from "fast-check";
import { asId } from "../../kit/id.ts";
import { METERS, type Meter, type Quantity } from "../metering/types.ts";
import {
  ceilingPico,
  meterPrice,
  priceFact,
  priceInForce,
  toPerMillion,
  toPicoPerUnit,
} from "./rules.ts";
import type { PriceVersion } from "./types.ts";

const version = (
  picoPerUnit: Partial<Record<Meter, bigint>>,
  effectiveFromMs = 0,
): PriceVersion => ({
  id: asId<"price">(`price_${effectiveFromMs}`),
  ref: 1,
  organisationId: asId<"org">("org_1"),
  model: "m",
  effectiveFromMs,
  source: "",
  picoPerUnit,
});
const counted = (meter: Meter, amount: bigint): Quantity => ({ meter, amount, source: "reported" });
const price = fc.bigInt({ min: 0n, max: 10n ** 12n });

test.each([
  ["2.50", 2_500_000n],
  ["0.000001", 1n],
  ["0", 0n],
  ["75", 75_000_000n],
])("%s dollars a million is %p pico a unit", (text, pico) => {
  expect(toPicoPerUnit(text)).toBe(pico);
});

test.each(["", "-1", "1e3", "0.0000001", "1,5", ".5"])("%p is no price", (text) => {
  expect(toPicoPerUnit(text)).toBeUndefined();
});

test("prices print as they were written, without trailing zeros", () => {
  fc.assert(
    fc.property(price, (pico) => void expect(toPicoPerUnit(toPerMillion(pico))).toBe(pico)),
  );
});

test("1,000 input, 500 of them cached, and 200 output at 2.50/1.25/10.00 cost 3.875 mils", () => {
  const gpt = version({
    input_tokens: 2_500_000n,
    cached_input_tokens: 1_250_000n,
    output_tokens: 10_000_000n,
  });
  const quantities = [
    counted("input_tokens", 500n),
    counted("cached_input_tokens", 500n),
    counted("output_tokens", 200n),
  ];
  expect(priceFact(gpt, quantities)).toBe(3_875_000_000n);
});

test("parts without a line cost what the whole costs", () => {
  const plain = version({ input_tokens: 3n, output_tokens: 5n });
  expect(meterPrice(plain, "cached_input_tokens")).toBe(3n);
  expect(meterPrice(plain, "reasoning_tokens")).toBe(5n);
  expect(meterPrice(plain, "requests")).toBe(0n);
});

test("the ceiling is never below the price, however tokens split into pools", () => {
  const lines = fc.dictionary(fc.constantFrom(...METERS), price) as fc.Arbitrary<
    Partial<Record<Meter, bigint>>
  >;
  const amount = fc.bigInt({ min: 0n, max: 10n ** 7n });
  fc.assert(
    fc.property(
      lines,
      amount,
      amount,
      amount,
      amount,
      (picoPerUnit, input, cached, output, reasoning) => {
        const each = version(picoPerUnit);
        const quantities = [
          counted("input_tokens", input),
          counted("cached_input_tokens", cached),
          counted("output_tokens", output),
          counted("reasoning_tokens", reasoning),
          counted("requests", 1n),
        ];
        expect(
          ceilingPico(each, input + cached, output + reasoning) >= priceFact(each, quantities),
        ).toBe(true);
      },
    ),
  );
});

test("the last version that began is in force", () => {
  const versions = [version({}, 200), version({}, 100)];
  expect(priceInForce(versions, 99)).toBeUndefined();
  expect(priceInForce(versions, 199)?.effectiveFromMs).toBe(100);
  expect(priceInForce(versions, 200)?.effectiveFromMs).toBe(200);
});
