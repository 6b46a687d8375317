import { expect, test } from "bun:test";
import { openLeaseGiver } from "../billing/budgets/service.ts";
import type { LeaseResource } from "../billing/budgets/types.ts";
import { openTestDatabase } from "../db/test-database.ts";
import { systemClock } from "../kit/clock.ts";
import { silentLog } from "../kit/log.ts";
import { openControl } from "../../test/uplink/control.ts";
import { openGateway } from "../../test/uplink/gateway.ts";
import { openTcpProxy } from "../../test/uplink/tcp-proxy.ts";

const LIMIT = 500n;
const tokens: LeaseResource = "tokens:key:key_1";

/** Takes what it gets and keeps it, as a gateway whose requests never end. */
async function openTaker(port: number, loseEvery: number) {
  let exchanges = 0;
  const proxy = await openTcpProxy(port, (request) =>
    request.endsWith("/leases") && (exchanges += 1) % loseEvery === 0 ? "lose" : "none",
  );
  const gate = await openGateway(proxy.url);
  const { leases } = gate.uplink;
  const taker = {
    held: 0n,
    gate,
    proxy,
    take: () => leases.take([{ resource: tokens, need: 1n, want: 3n }]),
  };
  leases.onSession(() => (taker.held > 0n ? [{ resource: tokens, amount: taker.held }] : []));
  await gate.uplink.opened(5_000);
  return taker;
}

test("two gateways whose answers get lost and whose lines are cut: the limit is given out whole, and never more", async () => {
  const database = await openTestDatabase();
  const giver = await openLeaseGiver(
    {
      inTransaction: (work) => database.db.transaction().execute(work),
      limitOf: () => LIMIT,
      clock: systemClock,
      log: silentLog,
    },
    [],
  );
  const control = await openControl(database, { leases: giver });
  const takers = await Promise.all([openTaker(control.port, 3), openTaker(control.port, 4)]);
  const total = () => takers.reduce((sum, { held }) => sum + held, 0n);
  const run = async (taker: (typeof takers)[number]) => {
    for (let n = 0, empty = 0; empty < 3; n += 1) {
      if (n === 20) taker.proxy.cut();
      const [grant] = await taker.take().catch(() => []);
      taker.held += grant?.amount ?? 0n;
      expect(total()).toBeLessThanOrEqual(LIMIT);
      empty = grant?.mode === "exhausted" ? empty + 1 : 0;
      if (grant) continue;
      // Cut off or between two sessions.
      taker.proxy.mend();
      await taker.gate.uplink.opened(5_000);
      await Bun.sleep(20);
    }
  };
  await Promise.all(takers.map(run));
  expect(total()).toBe(LIMIT);
  expect(takers.every(({ gate }) => gate.events.count("uplink.exchange_failed") > 2)).toBe(true);
  expect(takers.some(({ gate }) => gate.events.count("uplink.open") > 1)).toBe(true);
  for (const { gate, proxy } of takers) {
    await gate.stop(500);
    await proxy.close();
  }
  await control.close();
  await giver.close();
  await database.close();
}, 30_000);
