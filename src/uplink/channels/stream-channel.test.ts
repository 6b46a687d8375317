import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseDown, splitLines } from "./stream-channel.ts";

test("lines come out the same however the bytes are cut, and half a line never does", () => {
  const text = fc.array(fc.string({ minLength: 1 }).map((line) => line.replaceAll("\n", "é")));
  fc.assert(
    fc.property(text, fc.array(fc.nat()), fc.string(), (lines, cuts, half) => {
      const tail = half.replaceAll("\n", "");
      const whole = lines.map((line) => `${line}\n`).join("") + tail;
      const ends = cuts.map((cut) => cut % (whole.length + 1)).toSorted((a, b) => a - b);
      let rest = "";
      const found: string[] = [];
      let from = 0;
      for (const to of [...ends, whole.length]) {
        const split = splitLines(rest, whole.slice(from, to));
        [rest, from] = [split.rest, to];
        found.push(...split.lines);
      }
      expect(found).toEqual(lines);
      expect(rest).toBe(tail);
    }),
  );
});

test("a line without an end is not gathered for ever", () => {
  expect(() => splitLines("x".repeat(4 * 1_048_576), "x")).toThrow("does not end");
});

test("messages of a later version are ignored; ours must be whole", () => {
  expect(parseDown('{"type":"weather","sunny":true}')).toBeUndefined();
  expect(parseDown('{"type":"heartbeat","later":1}')).toEqual({ type: "heartbeat" });
  expect(() => parseDown('{"type":"recall","resources":["money:key:k"]}')).toThrow();
  expect(() => parseDown('{"type":"peers"')).toThrow();
});
