import { expect, test } from "bun:test";
import fc from "fast-check";
import { manualClock, seededDice } from "./clock.ts";
import { decodeId, encodeId, makeId } from "./id.ts";

test("ids round-trip through their 16 bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      expect(decodeId(`req_${encodeId(bytes)}`)).toEqual(bytes);
    }),
  );
});

test("ids sort by the time they were made", () => {
  const clock = manualClock();
  const dice = seededDice(7);
  const first = makeId("req", clock, dice);
  clock.advance(1);
  const second = makeId("req", clock, dice);
  expect(first < second).toBe(true);
  expect(first).toMatch(/^req_[0-9a-hjkmnp-tv-z]{26}$/);
});

test("the form of an id is what it always was", () => {
  const bytes = Uint8Array.from({ length: 16 }, (_, index) => index * 17);
  expect(encodeId(bytes)).toBe("0024h36h2ncsvrh6daqf6dvvqz");
  expect(encodeId(new Uint8Array(16).fill(255))).toBe("7zzzzzzzzzzzzzzzzzzzzzzzzz");
});

test("text that is no id decodes to nothing", () => {
  expect(decodeId("req_short")).toBeUndefined();
  expect(decodeId(`req_${"u".repeat(26)}`)).toBeUndefined();
  expect(decodeId(`req_${"z".repeat(26)}`)).toBeUndefined();
});
