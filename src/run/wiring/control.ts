// The control role: the admin API and the console, the snapshot's publisher, the giver of leases, the upper end of the uplink.

import { openConsoleHandler } from "../../../console/serve.ts";
import { LEASE_TERMS } from "../../billing/budgets/rules.ts";
import { openLeaseGiver, SEEN_WITHIN_MS, type LeaseGiver } from "../../billing/budgets/service.ts";
import { committedLanes, receiveSegment } from "../../billing/ledger/receive.ts";
import type { Config } from "../../config.ts";
import { openHttpServer } from "../../http/server.ts";
import { encodeId, idBytes } from "../../kit/id.ts";
import type { Log } from "../../kit/log.ts";
import { openMetrics } from "../../kit/metrics.ts";
import { openPublisher, type Publisher } from "../../snapshot/publish.ts";
import { createGatewaysService, type GatewaysService } from "../../system/gateways/service.ts";
import { createUplink } from "../../uplink/control.ts";
import { openClosers, type StartRole } from "../role.ts";
import { controlRoutes, type Services } from "../routes.ts";
import { databaseUrlOf, openFoundation, readKeys, type Foundation } from "./foundation.ts";
import { createLimits } from "./limits.ts";
import { controlHosts, isLocalOnly, tlsOf } from "./listen.ts";
import { createProbes, type Probes } from "./probes.ts";
import { createServices } from "./services.ts";

const LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "[::1]"];
const CLOSE_MS = 4_000;

function uplinkOf(
  foundation: Foundation,
  gateways: GatewaysService,
  publisher: Publisher,
  giver: LeaseGiver,
) {
  return createUplink({
    key: foundation.keys.derived("uplink"),
    gateways,
    segments: {
      committed: (gateway) => committedLanes(foundation, gateway),
      receive: (gateway, bytes) => receiveSegment(foundation, gateway, bytes),
    },
    leases: giver,
    snapshot: publisher,
    terms: LEASE_TERMS,
    clock: foundation.clock,
    log: foundation.log,
  });
}

function openServers(
  config: Config,
  foundation: Foundation,
  services: Services,
  handlers: Parameters<typeof openHttpServer>[0]["handlers"],
) {
  const { clock, dice, log } = foundation;
  const open = isLocalOnly(config);
  return controlHosts(config).map((host) =>
    openHttpServer({
      host,
      port: config.INTERTIE_CONTROL_PORT,
      portFlag: "--control-port",
      ...tlsOf(config),
      ...(open ? { hosts: LOOPBACK_HOSTS } : {}),
      ...controlRoutes(services),
      authenticate: services.sessions.authenticate,
      ...(handlers ? { handlers } : {}),
      makeRequestId: () => `ctl_${encodeId(idBytes(clock, dice))}`,
      log,
    }),
  );
}

async function openSnapshots(foundation: Foundation, config: Config, probes: Probes) {
  return openPublisher({
    db: foundation.database.db,
    privateKey: foundation.keys.signing.privateKey,
    clock: foundation.clock,
    log: foundation.log,
    failures: probes.compileFailures,
    ageMaxMs: config.INTERTIE_SNAPSHOT_AGE_MAX_S * 1000,
  });
}

export const startControl: StartRole = async (config: Config, log: Log) => {
  const closers = openClosers(log);
  const foundation = openFoundation(databaseUrlOf(config), readKeys(config), log);
  closers.defer("database", foundation.database.close);
  const gateways = createGatewaysService({ db: foundation.database.db, clock: foundation.clock });
  const services = createServices(foundation, config, gateways);
  const probes = createProbes(foundation, openMetrics(), services.sessions.authenticate, config);
  const publisher = await openSnapshots(foundation, config, probes);
  closers.defer("publisher", () => publisher.close());
  probes.watch(publisher);
  const giver = await openLeaseGiver(
    { ...foundation, limitOf: createLimits(publisher.rows) },
    await gateways.seenSince(SEEN_WITHIN_MS),
  );
  closers.defer("leases", () => giver.close());
  const uplink = uplinkOf(foundation, gateways, publisher, giver);
  const handlers = [uplink.handler, probes.handler, await openConsoleHandler()];
  const servers = openServers(config, foundation, services, handlers);
  closers.defer("server", () => Promise.all(servers.map((server) => server.close(CLOSE_MS))));
  closers.defer("uplink", uplink.close.bind(uplink));
  return { stop: closers.closeAll };
};
