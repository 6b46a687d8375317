import { expect, test } from "bun:test";
import {
  deriveKey,
  equalBytes,
  equalTexts,
  hmac,
  makeMasterKey,
  openHmac,
  parseMasterKey,
  seal,
  unseal,
} from "./secret.ts";

const text = (value: string) => new TextEncoder().encode(value);

test("an envelope opens with its own key and AAD only", () => {
  const master = makeMasterKey();
  const key = deriveKey(master, "credential");
  const sealed = seal(key, "engine_1", text("sk-secret"));
  expect(new TextDecoder().decode(unseal(key, "engine_1", sealed))).toBe("sk-secret");
  expect(() => unseal(key, "engine_2", sealed)).toThrow();
  expect(() => unseal(deriveKey(master, "session"), "engine_1", sealed)).toThrow();
  const bent = Uint8Array.from(sealed);
  bent[bent.length - 1] = (bent[bent.length - 1] ?? 0) ^ 1;
  expect(() => unseal(key, "engine_1", bent)).toThrow();
});

test("a master key is 32 bytes in hex or base64", () => {
  const master = makeMasterKey();
  expect(parseMasterKey(Buffer.from(master).toString("hex"))).toEqual(master);
  expect(parseMasterKey(Buffer.from(master).toString("base64"))).toEqual(master);
  expect(() => parseMasterKey("short")).toThrow("32 bytes");
});

test("a key made ready once gives the same HMACs, again and again", () => {
  const key = deriveKey(makeMasterKey(), "key-hmac");
  const hmacOf = openHmac(key);
  for (const each of ["a", "b", "a"])
    expect(hmacOf(each)).toBe(Buffer.from(hmac(key, each)).toString("hex"));
});

test("HMACs compare in constant time", () => {
  const key = deriveKey(makeMasterKey(), "key-hmac");
  expect(equalBytes(hmac(key, "a"), hmac(key, "a"))).toBe(true);
  expect(equalBytes(hmac(key, "a"), hmac(key, "b"))).toBe(false);
  expect(equalTexts("abc", "abc")).toBe(true);
  expect([equalTexts("abc", "abd"), equalTexts("abc", "ab")]).toEqual([false, false]);
  expect(equalBytes(new Uint8Array(1), new Uint8Array(2))).toBe(false);
});
