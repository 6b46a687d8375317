import { expect, test } from "bun:test";
import { secured } from "./respond.ts";

test("an answer gets its request's id; one that was relayed from a gateway keeps the gateway's", () => {
  const own = secured(new Response(""), "req_control", false);
  expect(own.headers.get("x-request-id")).toBe("req_control");
  const relayed = new Response("", { headers: { "x-request-id": "req_gateway" } });
  expect(secured(relayed, "req_control", false).headers.get("x-request-id")).toBe("req_gateway");
});
