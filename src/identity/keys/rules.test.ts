import { expect, test } from "bun:test";
import fc from "fast-check";
import { asId, encodeId } from "../../kit/id.ts";
import { makeToken, maskToken, parseToken } from "./rules.ts";
import { KEY_KINDS } from "./types.ts";

const kind = fc.constantFrom(...KEY_KINDS);
const id = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => asId<"key">(`key_${encodeId(bytes)}`));
const secret = fc.uint8Array({ minLength: 32, maxLength: 32 });

test("a token parses back to its kind and id", () => {
  fc.assert(
    fc.property(kind, id, secret, (k, i, s) => {
      const token = makeToken(k, i, s);
      expect(token).toMatch(/^it_[a-z]+_[0-9a-z]{26}_[0-9a-z]{59}$/);
      expect(parseToken(token)).toEqual({ kind: k, id: i, token });
    }),
  );
});

test("one wrong character anywhere is refused", () => {
  fc.assert(
    fc.property(
      kind,
      id,
      secret,
      fc.nat(),
      fc.constantFrom(..."0123456789abcdefghjkmnpqrstvwxyz_XÄ"),
      (k, i, s, at, character) => {
        const token = makeToken(k, i, s);
        const place = at % token.length;
        fc.pre(token[place] !== character);
        expect(
          parseToken(token.slice(0, place) + character + token.slice(place + 1)),
        ).toBeUndefined();
      },
    ),
  );
});

test.each(["", "it_", "it_live_", "sk-abc", "it_root_0_0", "Bearer x"])(
  "%p is no token",
  (text) => {
    expect(parseToken(text)).toBeUndefined();
  },
);

test("different secrets give different tokens, all 256 bits count", () => {
  const key = asId<"key">(`key_${"0".repeat(26)}`);
  const tokens = new Set<string>();
  for (let bit = 0; bit < 256; bit += 1) {
    const bytes = new Uint8Array(32);
    bytes[bit >> 3] = 1 << (bit & 7);
    tokens.add(makeToken("live", key, bytes));
  }
  expect(tokens.size).toBe(256);
});

test("a mask shows nothing of the secret", () => {
  expect(maskToken("live", asId<"key">(`key_${"0".repeat(26)}`))).toBe(
    `it_live_${"0".repeat(26)}_…`,
  );
});
