import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseJson, readBody } from "./json.ts";

const drip = (chunks: readonly string[], end: boolean) =>
  new Request("http://localhost/", {
    method: "POST",
    body: new ReadableStream({
      start: (controller) => {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk));
        if (end) controller.close();
      },
    }),
  });

test("408: a body that does not end is let go", async () => {
  await expect(readBody(drip(['{"a"'], false), 100, 20)).rejects.toMatchObject({
    code: "request.timeout",
    status: 408,
  });
});

test("413: a body over the bound is let go as soon as it is", async () => {
  await expect(readBody(drip(["abc", "def"], false), 5, 1_000)).rejects.toMatchObject({
    code: "request.too_large",
  });
});

test("400: a caller who leaves is no error of ours", async () => {
  const cut = new Request("http://localhost/", {
    method: "POST",
    body: new ReadableStream({ start: (controller) => controller.error(new Error("reset")) }),
  });
  await expect(readBody(cut, 100, 1_000)).rejects.toMatchObject({ code: "request.cut" });
});

test("a character cut in two by the network is read whole", async () => {
  const [first, second] = [new Uint8Array([0x22, 0xc3]), new Uint8Array([0xa9, 0x22])];
  const body = new ReadableStream({
    start: (controller) => {
      controller.enqueue(first);
      controller.enqueue(second);
      controller.close();
    },
  });
  const request = new Request("http://localhost/", { method: "POST", body });
  expect(await readBody(request, 100, 1_000)).toBe('"é"');
});

test("what JSON.stringify writes is read as JSON.parse reads it", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 20 }), (text) => {
      fc.pre(!text.includes("__proto__"));
      expect(parseJson(text)).toEqual(JSON.parse(text));
    }),
  );
});

test("no text at all crashes it, and it accepts nothing that JSON.parse refuses", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'{}[],:"\\ua1 \n') }), (text) => {
      try {
        expect(parseJson(text)).toEqual(JSON.parse(text));
      } catch (error) {
        expect(error).toMatchObject({ name: "Fault", status: 400 });
      }
    }),
    { numRuns: 2_000 },
  );
});

test("a string is a string: brackets and keys inside count for nothing", () => {
  const text = JSON.stringify({ a: '{"a":1,"a":2,"__proto__":[[['.repeat(40) });
  expect(parseJson(text)).toEqual(JSON.parse(text));
});
