// The worker role: posts the ledger, numbers the audit log, probes engines, pulls models, gives back what dead gateways held.
// Invariant: every loop survives a database that is away; stopping waits for the work under way, within the supervisor's bound.

import { join } from "node:path";
import { openSequencer } from "../../audit/log/jobs.ts";
import { createAuditService } from "../../audit/log/service.ts";
import { releaseEndedLives, settleSpend } from "../../billing/budgets/spend.ts";
import { openPoster } from "../../billing/ledger/jobs.ts";
import { selectPostedUpTo } from "../../billing/ledger/service.ts";
import { ensurePrice, readPriceTerms } from "../../billing/prices/service.ts";
import { childEnvironment, type Config } from "../../config.ts";
import { selectProjectIds } from "../../identity/orgs/service.ts";
import { encodeId, idBytes } from "../../kit/id.ts";
import { errorText } from "../../kit/log.ts";
import { openLoop, type Loop } from "../../kit/loop.ts";
import { CATALOGUE } from "../../models/artifacts/catalogue.rules.ts";
import { openFetcher, readPipSettings } from "../../models/artifacts/fetch-artifact.ts";
import { openPuller, type Admission } from "../../models/artifacts/puller.ts";
import { openProber } from "../../zones/health/prober.ts";
import { checkEngine } from "../../zones/health/service.ts";
import { findEmbedded } from "../../zones/topology/embedded.service.ts";
import { selectEnabledEngines } from "../../zones/topology/service.ts";
import { openClosers, type StartRole } from "../role.ts";
import { databaseUrlOf, openFoundation, readKeys, type Foundation } from "./foundation.ts";
import { ensureServed } from "./served-model.ts";

const RELEASE_EVERY_MS = 2_000;

function posterOf(foundation: Foundation) {
  return openPoster({
    ...foundation,
    priceTerms: readPriceTerms,
    settleSpend: (trx, spends) => settleSpend({ projectIds: selectProjectIds }, trx, spends),
  });
}

/** Frees what ended lives of gateways held, once their usage is posted. */
function releaserOf({ inTransaction, log }: Foundation): Loop {
  const look = () => releaseEndedLives({ inTransaction, postedUpTo: selectPostedUpTo });
  return openLoop(look, RELEASE_EVERY_MS, (error) =>
    log.warn("budgets.release_failed", { reason: errorText(error) }),
  );
}

function proberOf(foundation: Foundation) {
  const deps = { ...foundation, credentialKey: foundation.keys.derived("credential") };
  return openProber({
    ...foundation,
    engines: () => foundation.inTransaction(selectEnabledEngines),
    check: (engine) => checkEngine(deps, engine),
  });
}

/** A pulled model becomes a version that the embedded engine serves. */
const registerOn =
  (foundation: Foundation): Admission =>
  async (trx, organisationId, model) => {
    const engineId = await findEmbedded(trx, organisationId);
    if (engineId === undefined) throw new Error("there is no embedded engine to serve it");
    await ensureServed(foundation, trx, organisationId, engineId, model);
  };

async function pullerOf(foundation: Foundation, config: Config) {
  const { clock, dice } = foundation;
  const folder = join(config.dataDir, "artifacts");
  const pip = await readPipSettings(childEnvironment({}), process.platform);
  const deps = {
    ...foundation,
    fetchArtifact: openFetcher({ folder, hub: config.INTERTIE_MODELS_HUB, pip }),
    registerModel: registerOn(foundation),
    priceModel: ((trx, organisationId, { name, perMillion }) =>
      ensurePrice(foundation, trx, organisationId, {
        model: name,
        perMillion,
        source: "came with the pull; set another with `intertie prices set`",
      })) satisfies Admission,
  };
  const worker = `worker_${encodeId(idBytes(clock, dice))}`;
  return openPuller(deps, { catalogue: CATALOGUE, folder, worker });
}

export const startWorker: StartRole = async (config, log) => {
  const closers = openClosers(log);
  const foundation = openFoundation(databaseUrlOf(config), readKeys(config), log);
  closers.defer("database", foundation.database.close);
  const { privateKey } = foundation.keys.signing;
  const sequencer = openSequencer(createAuditService({ ...foundation, privateKey }), log);
  const loops = {
    poster: posterOf(foundation),
    sequencer,
    releaser: releaserOf(foundation),
    prober: proberOf(foundation),
    puller: await pullerOf(foundation, config),
  };
  closers.defer("loops", () => Promise.all(Object.values(loops).map((loop) => loop.close())));
  return { stop: closers.closeAll };
};
