import { expect, test } from "bun:test";
import { isLoopback, nearTls } from "./loopback.ts";

test.each([
  ["localhost", true],
  ["127.0.0.1", true],
  ["127.8.9.10", true],
  ["::1", true],
  ["[::1]", true],
  ["0.0.0.0", false],
  ["10.0.0.1", false],
  ["127.0.0.1.example", false],
  ["localhost.example", false],
])("%s is this machine alone: %p", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});

test("a certificate is waived on loopback only", () => {
  expect(nearTls("https://[::1]:4110/x")).toEqual({ tls: { rejectUnauthorized: false } });
  expect(nearTls("https://control.example")).toEqual({});
  expect(nearTls("http://127.0.0.1:4110")).toEqual({});
});
