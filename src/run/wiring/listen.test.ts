import { expect, test } from "bun:test";
import { readConfig } from "../../config.ts";
import { controlHosts, controlUrl, gatewayUrl, metricsGuard, publicUrl } from "./listen.ts";

const at = (host: string, more: Record<string, string> = {}) =>
  readConfig({ INTERTIE_HOST: host, ...more }, {});

test.each([
  ["127.0.0.1", ["127.0.0.1"], "127.0.0.1", "127.0.0.1", "localhost"],
  ["::1", ["::1"], "[::1]", "[::1]", "localhost"],
  ["0.0.0.0", ["0.0.0.0"], "127.0.0.1", "127.0.0.1", "localhost"],
  ["10.0.0.4", ["10.0.0.4", "127.0.0.1"], "127.0.0.1", "10.0.0.4", "10.0.0.4"],
  ["fd00::4", ["fd00::4", "127.0.0.1"], "127.0.0.1", "[fd00::4]", "[fd00::4]"],
])(
  "%s: where control listens, and how roles and people reach it",
  (host, hosts, control, gateway, person) => {
    const config = at(host);
    expect(controlHosts(config)).toEqual(hosts);
    expect(controlUrl(config)).toBe(`http://${control}:4110`);
    expect(gatewayUrl(config)).toBe(`http://${gateway}:4100`);
    expect(publicUrl(config, 4100)).toBe(`http://${person}:4100`);
  },
);

test("metrics: open on this machine alone, else only with the token", () => {
  const ask = (config: ReturnType<typeof at>, authorization?: string) =>
    metricsGuard(config)(
      new Request(
        "http://x/metrics",
        authorization === undefined ? {} : { headers: { authorization } },
      ),
    );
  const token = "0123456789abcdef";
  expect(ask(at("127.0.0.1"))).toBe(true);
  expect(ask(at("127.0.0.1", { INTERTIE_BEHIND_PROXY: "1" }))).toBe(false);
  expect(ask(at("10.0.0.4"), `Bearer ${token}`)).toBe(false);
  const set = at("10.0.0.4", { INTERTIE_METRICS_TOKEN: token });
  expect([ask(set), ask(set, "Bearer wrong"), ask(set, `Bearer ${token}`)]).toEqual([
    false,
    false,
    true,
  ]);
});
