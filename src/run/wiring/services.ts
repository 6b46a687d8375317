// Control's services, each handed what it needs of other rooms as functions. The one place where rooms meet.

import packageJson from "../../../package.json" with { type: "json" };
import { createAuditService } from "../../audit/log/service.ts";
import { openFactReader } from "../../billing/ledger/fact-reader.ts";
import {
  createPriceService,
  readPriceTerms,
  selectPricedNames,
} from "../../billing/prices/service.ts";
import type { Config } from "../../config.ts";
import { CATALOGUE } from "../../models/artifacts/catalogue.rules.ts";
import { createPullService } from "../../models/artifacts/service.ts";
import {
  createRegistryService,
  ensureVersions,
  selectModelNames,
} from "../../models/registry/service.ts";
import type { GatewaysService } from "../../system/gateways/service.ts";
import { playgroundHandler } from "../../system/playground/handler.ts";
import { createReportService } from "../../system/reports/service.ts";
import { createStatusService } from "../../system/status/service.ts";
import { openStatusStore } from "../../system/status/store.ts";
import { askEngine } from "../../zones/health/ask.ts";
import { checkEngine, selectProbes } from "../../zones/health/service.ts";
import { createTopologyService, selectServingEngines } from "../../zones/topology/service.ts";
import type { Services } from "../routes.ts";
import type { Foundation } from "./foundation.ts";
import { createIdentity } from "./identity.ts";
import { isLocalOnly, publicUrl } from "./listen.ts";

/** A gateway that was heard from this lately can be sent a chat. */
const GATEWAY_FRESH_MS = 10_000;

function settingOf(config: Config, startedAt: Date) {
  return {
    version: packageJson.version,
    apiBaseUrl: `${publicUrl(config, config.INTERTIE_GATEWAY_PORT)}/v1`,
    host: config.INTERTIE_HOST,
    tls: config.INTERTIE_TLS_CERT !== undefined,
    behindProxy: config.INTERTIE_BEHIND_PROXY,
    startedAt,
  };
}

function topologyOf(foundation: Foundation) {
  const { clock } = foundation;
  const deps = { ...foundation, credentialKey: foundation.keys.derived("credential") };
  return createTopologyService({
    ...deps,
    models: {
      ensure: (trx, organisationId, wishes) =>
        ensureVersions(foundation, trx, organisationId, wishes),
      names: selectModelNames,
    },
    health: {
      ask: (target, withinMs) => askEngine(clock, target, withinMs),
      check: (engine) => checkEngine(deps, engine),
      probes: selectProbes,
    },
  });
}

async function freshGateway(foundation: Foundation, gateways: GatewaysService) {
  const nowMs = foundation.clock.nowMs();
  const fresh = (await gateways.list()).filter(
    ({ seenAt }) => nowMs - seenAt.getTime() < GATEWAY_FRESH_MS,
  );
  return fresh[Math.floor(foundation.dice.next() * fresh.length)]?.address;
}

export function createServices(
  foundation: Foundation,
  config: Config,
  gateways: GatewaysService,
): Services {
  const { database, clock } = foundation;
  const { orgs, keys, sessions } = createIdentity(foundation, !isLocalOnly(config));
  const status = openStatusStore(database.db);
  return {
    orgs,
    keys,
    sessions,
    audit: createAuditService({ ...foundation, privateKey: foundation.keys.signing.privateKey }),
    prices: createPriceService(foundation),
    models: createRegistryService({
      ...foundation,
      engineNames: selectServingEngines,
      pricedNames: selectPricedNames,
    }),
    pulls: createPullService({ ...foundation, catalogue: CATALOGUE }),
    topology: topologyOf(foundation),
    reports: createReportService({
      ...foundation,
      facts: openFactReader(database.db),
      priceTerms: readPriceTerms,
    }),
    status: createStatusService({
      ...status,
      clock,
      setting: settingOf(config, new Date(clock.nowMs())),
      gateways: gateways.list,
    }),
    playground: playgroundHandler({
      gatewayAddress: () => freshGateway(foundation, gateways),
      mintPlayKey: keys.mintPlayKey,
    }),
  };
}
