import { expect, test } from "bun:test";
import fc from "fast-check";
import { peekJson, splice, valueOf } from "./peek.rules.ts";

const bytes = (body: string) => new TextEncoder().encode(body);
const codeOf = (body: string) => {
  const result = peekJson(bytes(body));
  return result.ok ? "ok" : result.code;
};
const forbidden = new Set(["__proto__"]);
const clean = (value: unknown): boolean => {
  if (Array.isArray(value)) return value.every(clean);
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([key, each]) => !forbidden.has(key) && clean(each));
};

test("it agrees with JSON.parse on what is valid, whatever the white space", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 6 })),
      fc.constantFrom(0, 1, "\t"),
      (value, space) => {
        fc.pre(clean(value));
        const body = bytes(JSON.stringify(value, null, space));
        const peeked = peekJson(body);
        if (!peeked.ok) throw new Error(peeked.message);
        for (const [key, each] of Object.entries(value))
          expect(valueOf(peeked, key)).toEqual(JSON.parse(JSON.stringify(each)));
        expect(peeked.fields.size).toBe(Object.keys(value).length);
      },
    ),
  );
});

test("damaged JSON is refused wherever JSON.parse refuses it", () => {
  const body = JSON.stringify({
    model: "m",
    messages: [{ role: "user", content: 'a\\"b' }],
    n: -1.5e3,
    x: [true, null],
  });
  fc.assert(
    fc.property(fc.nat(body.length - 1), fc.string({ maxLength: 2 }), (at, by) => {
      const damaged = body.slice(0, at) + by + body.slice(at + 1);
      let parses = true;
      try {
        JSON.parse(damaged);
      } catch {
        parses = false;
      }
      const code = codeOf(damaged);
      if (!parses) expect(code === "ok").toBe(false);
      else expect(["ok", "request.json_duplicate_key"]).toContain(code);
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ["", "request.json"],
  ["[]", "request.json"],
  ['"x"', "request.json"],
  ["{} {}", "request.json"],
  ['{"a":01}', "request.json"],
  ['{"a":NaN}', "request.json"],
  ['{"a":"\u0001"}', "request.json"],
  ['{"a":"\\x"}', "request.json"],
  ['{"a":1,}', "request.json"],
  ['{"a":[1,00]}', "request.json"],
  ['{"a":12x}', "request.json"],
  [`{"a":${"1".repeat(500)}}`, "request.json"],
  ['{"a":1,"a":2}', "request.json_duplicate_key"],
  ['{"a":1,"\\u0061":2}', "request.json_duplicate_key"],
  ['{"__proto__":{}}', "request.json_prototype"],
  ['{"a":{"__proto__":1}}', "request.json_prototype"],
  [`{"a":${"[".repeat(64)}${"]".repeat(64)}}`, "request.json_depth"],
])("%p is refused as %s", (body, code) => {
  expect(codeOf(body)).toBe(code as ReturnType<typeof codeOf>);
});

test("bytes that are no UTF-8 are refused, wherever they are", () => {
  const body = bytes('{"a":"xx"}');
  for (const at of [2, 6, 7]) {
    const bent = Uint8Array.from(body);
    bent[at] = 0xff;
    expect(peekJson(bent)).toMatchObject({ ok: false, code: "request.json" });
  }
});

test("64 levels pass", () => {
  expect(codeOf(`{"a":${"[".repeat(63)}${"]".repeat(63)}}`)).toBe("ok");
});

test("the path of a nested duplicate is told", () => {
  const result = peekJson(bytes('{"messages":[{"role":"user"},{"role":1,"role":2}]}'));
  expect(result.ok ? undefined : result.field).toBe("messages[1].role");
});

test.each([
  ["a text", '{"content":"image_url"}', 0],
  ["a text part", '{"content":[{"type":"text","text":"\\"image_url\\":"}]}', 0],
  ["a picture", '{"content":[{"type":"image_url","image_url":{"url":"u","detail":"low"}}]}', 1],
  ["a picture under an escaped name", '{"content":[{"type":"x","image\\u005furl":{}}]}', 1],
  ["a text and a file", '{"content":[{"type":"text","text":"a"},{"file":{"file_id":"f"}}]}', 1],
  ["an earlier answer that was spoken", '{"role":"assistant","audio":{"id":"a"}}', 1],
])("%s: the parts that are no text are counted", (_, message, parts) => {
  const tools = '[{"function":{"parameters":{"properties":{"file":{},"image_url":{}}}}}]';
  expect(peekJson(bytes(`{"messages":[${message}],"tools":${tools}}`))).toMatchObject({
    mediaParts: parts,
  });
});

test("a splice changes the value and no other byte", () => {
  const body = bytes('{ "model" : "alias" , "x":1.0 }');
  const peeked = peekJson(body);
  if (!peeked.ok) throw new Error("unexpected");
  const model = peeked.fields.get("model");
  if (!model) throw new Error("unexpected");
  const spliced = splice(body, [
    { ...model, by: bytes('"real"') },
    { start: peeked.inside, end: peeked.inside, by: bytes('"s":1,') },
  ]);
  expect(new TextDecoder().decode(spliced)).toBe('{"s":1, "model" : "real" , "x":1.0 }');
  expect(splice(body, [])).toBe(body);
});
