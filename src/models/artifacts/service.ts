// Pulls as people see them: ask for one, look how far they are. The work itself is the worker's (puller.ts).
// Invariant: at most one pull a model and organisation; asking again for one that is not at work puts it in the queue again.

import type { ChangeDeps } from "../../db/change.types.ts";
import type { Principal } from "../../http/types.ts";
import type { Clock } from "../../kit/clock.ts";
import { Fault } from "../../kit/fault.ts";
import { findPullable } from "./catalogue.rules.ts";
import { openPullStore } from "./store.ts";
import type { CatalogueEntry, Pull, PullInput, PullList, PullView } from "./types.ts";

export interface PullDeps extends Pick<ChangeDeps, "inTransaction" | "audit"> {
  readonly clock: Clock;
  readonly catalogue: readonly CatalogueEntry[];
}

type Asker = Pick<Principal, "organisationId" | "keyId">;

export interface PullService {
  list(asker: Asker): Promise<PullList>;
  /** Throws `model.unknown` for a name that the catalogue does not have. */
  create(asker: Asker, input: PullInput): Promise<PullView>;
}

const toView = ({ name, state, doneBytes, totalBytes, detail }: Pull): PullView => ({
  name,
  state,
  doneBytes,
  totalBytes,
  detail,
});

async function create(deps: PullDeps, asker: Asker, { name }: PullInput): Promise<PullView> {
  const { organisationId, keyId } = asker;
  if (!findPullable(deps.catalogue, name))
    throw new Fault("model.unknown", {
      message: `there is no model ${name} to pull`,
      field: "name",
      hint: `these can be pulled: ${deps.catalogue.map((entry) => entry.name).join(", ")}`,
    });
  return deps.inTransaction(async (trx) => {
    const store = openPullStore(trx);
    const asked = { by: keyId, at: new Date(deps.clock.nowMs()) };
    const isNew = await store.insertQueued(organisationId, name, asked);
    const found = await store.selectForChange(organisationId, name);
    if (!found) throw new Error(`the pull of ${name} is gone within its own transaction`);
    if (!isNew && (found.state === "queued" || found.state === "running")) return toView(found);
    if (!isNew) await store.updateQueued(organisationId, name, asked);
    await deps.audit(trx, {
      organisationId,
      actor: keyId,
      action: "model.pull",
      subject: name,
      details: {},
    });
    return toView({ ...found, state: "queued", detail: "" });
  });
}

export function createPullService(deps: PullDeps): PullService {
  return {
    list: async ({ organisationId }) => {
      const pulls = await deps.inTransaction((trx) =>
        openPullStore(trx).selectPulls(organisationId),
      );
      return { items: pulls.map(toView), next: null };
    },
    create: (asker, input) => create(deps, asker, input),
  };
}
