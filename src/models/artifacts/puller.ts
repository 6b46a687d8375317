// The worker's loop over pulls: takes one, fetches its file, puts it into the engine's index, registers the model.
// Invariant: every step can be done again, so a pull whose worker died is taken up by the next one and ends the same.

import type { Transaction } from "kysely";
import type { ChangeDeps } from "../../db/change.types.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Clock } from "../../kit/clock.ts";
import { Fault, isFault } from "../../kit/fault.ts";
import type { OrganisationId } from "../../kit/id.ts";
import { errorText, type Log } from "../../kit/log.ts";
import { openLoop } from "../../kit/loop.ts";
import { findPullable } from "./catalogue.rules.ts";
import { artifactFile, type FetchArtifact, type Progress } from "./fetch-artifact.ts";
import { indexArtifact } from "./index-writer.ts";
import { openPullStore, type Hold } from "./store.ts";
import type { CatalogueEntry, Pull } from "./types.ts";

/** Part of the transaction that ends a pull; doing it again must change nothing. */
export type Admission = (
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  model: CatalogueEntry,
) => Promise<void>;

export interface PullerDeps extends ChangeDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly fetchArtifact: FetchArtifact;
  /** Its version, and its deployment on the embedded engine. */
  readonly registerModel: Admission;
  /** Its explicit price, where the organisation has not set one. */
  readonly priceModel: Admission;
}

export interface PullerOptions {
  readonly catalogue: readonly CatalogueEntry[];
  /** `<dataDir>/artifacts` */
  readonly folder: string;
  /** Names this process among all workers, and no later one. */
  readonly worker: string;
  readonly everyMs?: number;
}

export interface Puller {
  /** Takes pulls until there are none; what the loop does, for tests and for the impatient. */
  look(): Promise<void>;
  /** Lets go of the pull at work, so that the next start goes on with it at once. */
  close(): Promise<void>;
}

/** How long after its last sign of life a worker is taken for dead; signs come each second. */
const HOLD_MS = 10_000;
const BEAT_MS = 1_000;
const LOOK_EVERY_MS = 1_000;

const STOPPING = new Error("the worker stops");
const TAKEN = new Error("another worker has taken this pull");

type Pen = (change: Partial<Pick<Pull, "state" | "doneBytes" | "totalBytes" | "detail">>) => void;

const holdOf = (deps: PullerDeps, { worker }: PullerOptions): Hold => ({
  worker,
  until: new Date(deps.clock.nowMs() + HOLD_MS),
});

/** Writes how far a pull is, each second, which also keeps it ours; aborts `lost` when it no longer is. */
function openReport(deps: PullerDeps, options: PullerOptions, pull: Pull, lost: AbortController) {
  let current = pull;
  let writing = Promise.resolve();
  const save = async () => {
    try {
      const isOurs = await deps.inTransaction((trx) =>
        openPullStore(trx).updateHeld(current, holdOf(deps, options)),
      );
      if (!isOurs) lost.abort(TAKEN);
    } catch (error) {
      deps.log.warn("pull.unreported", { model: pull.name, reason: errorText(error) });
    }
  };
  const queue = () => (writing = writing.then(save));
  const timer = setInterval(() => void queue(), BEAT_MS);
  const note: Pen = (change) => {
    current = { ...current, ...change };
  };
  return {
    note,
    current: () => current,
    /** No beat is under way afterwards. */
    close: async () => {
      clearInterval(timer);
      await writing;
    },
  };
}

async function admit(
  deps: PullerDeps,
  options: PullerOptions,
  pull: Pull,
  model: CatalogueEntry,
): Promise<void> {
  await deps.inTransaction(async (trx) => {
    const isOurs = await openPullStore(trx).updateHeld(pull, holdOf(deps, options));
    if (!isOurs) throw TAKEN;
    await deps.registerModel(trx, pull.organisationId, model);
    await deps.priceModel(trx, pull.organisationId, model);
    await deps.audit(trx, {
      organisationId: pull.organisationId,
      actor: pull.askedBy,
      action: "model.pulled",
      subject: model.name,
      details: { digest: model.digest, licence: model.licence, source: pull.detail },
    });
    await deps.markSnapshotDirty(trx);
  });
}

async function bring(
  deps: PullerDeps,
  options: PullerOptions,
  pull: Pull,
  signal: AbortSignal,
  note: Pen,
): Promise<{ readonly model: CatalogueEntry; readonly from: string }> {
  const model = findPullable(options.catalogue, pull.name);
  if (!model) throw new Fault("model.unknown", { message: `${pull.name} can no longer be pulled` });
  const onProgress = (progress: Progress) => note(progress);
  const from = await deps.fetchArtifact(model, { signal, onProgress });
  const { digest, contextTokens } = model;
  indexArtifact(options.folder, model.name, { file: artifactFile(digest), digest, contextTokens });
  return { model, from };
}

/** For people: what went wrong with a stable code, or that the log knows more. */
function detailOf(deps: PullerDeps, pull: Pull, error: unknown): string {
  const reason = errorText(error);
  deps.log.warn("pull.failed", { model: pull.name, reason });
  return isFault(error) ? `${error.code}: ${reason}` : `internal: ${reason}`;
}

async function carryOut(
  deps: PullerDeps,
  options: PullerOptions,
  pull: Pull,
  stopping: AbortSignal,
): Promise<void> {
  const lost = new AbortController();
  const signal = AbortSignal.any([stopping, lost.signal]);
  const report = openReport(deps, options, pull, lost);
  const end = async (change: Partial<Pull>) => {
    await report.close();
    const ended = { ...report.current(), ...change };
    await deps.inTransaction((trx) => openPullStore(trx).updateHeld(ended, holdOf(deps, options)));
  };
  try {
    const { model, from } = await bring(deps, options, pull, signal, report.note);
    await report.close();
    const { bytes } = model;
    const done = {
      ...pull,
      state: "done",
      doneBytes: bytes,
      totalBytes: bytes,
      detail: from,
    } as const;
    await admit(deps, options, done, model);
    deps.log.info("pull.done", { model: model.name, digest: model.digest, from });
  } catch (error) {
    await report.close();
    if (error === TAKEN || lost.signal.aborted) return;
    await end(
      stopping.aborted
        ? { state: "queued" }
        : { state: "failed", detail: detailOf(deps, pull, error) },
    );
  }
}

export function openPuller(deps: PullerDeps, options: PullerOptions): Puller {
  const stopping = new AbortController();
  let running = Promise.resolve();

  const takeAll = async () => {
    while (!stopping.signal.aborted) {
      const at = new Date(deps.clock.nowMs());
      const pull = await deps.inTransaction((trx) =>
        openPullStore(trx).takeNext(holdOf(deps, options), at),
      );
      if (!pull) return;
      await carryOut(deps, options, pull, stopping.signal);
    }
  };
  const look = () => {
    running = running.then(takeAll).catch((error: unknown) => {
      deps.log.warn("pull.look_failed", { reason: errorText(error) });
    });
    return running;
  };
  const loop = openLoop(look, options.everyMs ?? LOOK_EVERY_MS, () => {});
  return {
    look,
    close: async () => {
      stopping.abort(STOPPING);
      await loop.close();
      await running;
    },
  };
}
