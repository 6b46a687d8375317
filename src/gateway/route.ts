// Step 4, route: which engines can serve this model for this organisation, best first. Pure; clock and dice are arguments.
// Invariant: a model without a price in force is refused here, before anything is dispatched.

import type { Endpoint } from "../billing/metering/types.ts";
import type { PriceVersion } from "../billing/prices/types.ts";
import { refuse, type Refusal } from "../kit/fault.ts";
import type { SnapshotModel, SnapshotReader, SnapshotTenant } from "../snapshot/types.ts";
import type { LoadLedger } from "../zones/routing/load.state.ts";
import { rankEngines } from "../zones/routing/rules.ts";
import type { Plan, Target } from "./types.ts";

/** Prices go by the calendar, loads by a clock that never goes back. */
export interface Instant {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

function targetsOf(
  snapshot: SnapshotReader,
  model: SnapshotModel,
  load: LoadLedger,
  nowMs: number,
  dice: () => number,
): Target[] {
  const candidates = model.deployments.map(({ engineId }) => ({
    engineId,
    inFlight: load.inFlight(engineId, nowMs),
    coolingDown: load.coolingDown(engineId, nowMs),
  }));
  const targets: Target[] = [];
  for (const engineId of rankEngines(candidates, dice)) {
    const engine = snapshot.engine(engineId);
    const deployment = model.deployments.find((each) => each.engineId === engineId);
    if (engine !== undefined && deployment !== undefined)
      targets.push({ engine, upstreamModel: deployment.upstreamModel });
  }
  return targets;
}

/** What would cost nothing by accident, since the price has no line for it. */
function unpricedPart(price: PriceVersion, endpoint: Endpoint): "input" | "output" | undefined {
  const { input_tokens: input, output_tokens: output } = price.picoPerUnit;
  if (input === undefined) return "input";
  return output === undefined && endpoint !== "embeddings" ? "output" : undefined;
}

export function route(
  snapshot: SnapshotReader,
  tenant: SnapshotTenant,
  { endpoint, name }: { readonly endpoint: Endpoint; readonly name: string },
  load: LoadLedger,
  now: Instant,
  dice: () => number,
): ({ ok: true } & Plan) | Refusal {
  const { organisationId } = tenant;
  const model = snapshot.model(organisationId, name);
  if (model === undefined) {
    return refuse(
      "model.unknown",
      `The model \`${name}\` does not exist or you do not have access to it.`,
      { field: "model" },
    );
  }
  const price = snapshot.priceAt(organisationId, name, now.wallMs);
  if (price === undefined) {
    return refuse("model.unpriced", `The model \`${name}\` has no price, so it is not served.`, {
      field: "model",
      hint: "Set one with `intertie prices set`, or in the console under Prices.",
    });
  }
  const free = unpricedPart(price, endpoint);
  if (free !== undefined) {
    return refuse("model.unpriced", `The model \`${name}\` has no price for its ${free}.`, {
      field: "model",
      hint: `Set one (${free}_tokens) with \`intertie prices set --${free}\`; 0 is a price as well.`,
    });
  }
  const targets = targetsOf(snapshot, model, load, now.monotonicMs, dice);
  if (targets.length === 0)
    return refuse("model.no_deployment", `The model \`${name}\` is served by no enabled upstream.`);
  return { ok: true, model, price, targets };
}
