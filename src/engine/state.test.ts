// Stop sequences however a text is cut, and slots whoever leaves.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { openSlots } from "./slots.state.ts";
import { watchStops } from "./text.state.ts";

const letters = fc.constantFrom("a", "b");
const word = fc.array(letters, { minLength: 1, maxLength: 4 }).map((all) => all.join(""));

/** What a caller must get: the text up to the stop sequence that is complete first, at its leftmost place. */
function upToStop(text: string, stops: readonly string[]): string {
  for (let end = 1; end <= text.length; end += 1) {
    const begins = stops.map((stop) => text.slice(0, end).indexOf(stop)).filter((at) => at >= 0);
    if (begins.length > 0) return text.slice(0, Math.min(...begins));
  }
  return text;
}

test("a text given letter by letter ends before the first stop sequence, and loses nothing else", () => {
  fc.assert(
    fc.property(
      fc.array(letters, { maxLength: 30 }),
      fc.array(word, { maxLength: 3 }),
      (all, stops) => {
        const watch = watchStops(stops);
        let out = "";
        for (const letter of all) out += watch.push(letter);
        if (!watch.stopped) out += watch.rest();
        expect(out).toBe(upToStop(all.join(""), stops));
        expect(watch.stopped).toBe(out.length < all.length);
      },
    ),
  );
});

test("larger parts end before a stop sequence too, and what cannot become one is given out at once", () => {
  const watch = watchStops(["STOP"]);
  expect(watch.push("one ST")).toBe("one ");
  expect(watch.push("AR")).toBe("STAR");
  expect(watch.push(" S")).toBe(" ");
  expect(watch.push("TOP more")).toBe("");
  expect(watch.stopped).toBe(true);
  expect(watch.push("after")).toBe("");
});

const never = new AbortController().signal;

test("slots go in order of arrival; one who leaves the queue costs nobody their turn", async () => {
  const slots = openSlots(1, 2);
  const release = await slots.take(never);
  const leaver = new AbortController();
  const left = slots.take(leaver.signal);
  const next = slots.take(never);
  expect([slots.running, slots.waiting, slots.hasRoomFor(1)]).toEqual([1, 2, false]);
  leaver.abort(new Error("left"));
  expect(left).rejects.toThrow("left");
  await left.catch(() => undefined);
  expect([slots.waiting, slots.hasRoomFor(1)]).toEqual([1, true]);
  release();
  release();
  const second = await next;
  expect([slots.running, slots.waiting]).toEqual([1, 0]);
  second();
  expect(slots.running).toBe(0);
});

test("a caller who has left before asking takes no slot", async () => {
  const slots = openSlots(1, 1);
  const taken = slots.take(AbortSignal.abort(new Error("left")));
  expect(taken).rejects.toThrow("left");
  await taken.catch(() => undefined);
  expect(slots.running).toBe(0);
});
