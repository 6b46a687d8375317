import { afterAll, beforeAll } from "bun:test";
import { leaseSourceContract } from "../../billing/budgets/lease-source.contract.ts";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { openControl } from "../../../test/uplink/control.ts";
import { openGateway } from "../../../test/uplink/gateway.ts";
import { openTcpProxy } from "../../../test/uplink/tcp-proxy.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());

leaseSourceContract("the uplink", async (leases) => {
  const terms = { lostMs: 1_000, shareMs: 90_000 };
  const control = await openControl(database, { leases, terms });
  const proxy = await openTcpProxy(control.port, () => "none");
  const gate = await openGateway(proxy.url);
  let closed: Promise<void> | undefined;
  const close = async () => {
    await gate.stop(1_000);
    await proxy.close();
    await control.close();
  };
  return {
    source: gate.uplink.leases,
    gateway: gate.gateway,
    cut: proxy.cut,
    mend: proxy.mend,
    close: () => (closed ??= close()),
  };
});
