// Prices: list, set one, import a dated file.
// Invariant: a file is taken over whole or not at all, and taking it over twice adds nothing.

import type { Transaction } from "kysely";
import type { ChangeDeps } from "../../db/change.types.ts";
import { isUniqueViolation } from "../../db/errors.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Principal } from "../../http/types.ts";
import type { Clock, Dice } from "../../kit/clock.ts";
import { Fault, type Refusal } from "../../kit/fault.ts";
import { makeId, type OrganisationId } from "../../kit/id.ts";
import { judgePrice, toNewPrice } from "./change.rules.ts";
import { toPerMillion } from "./rules.ts";
import { openPriceStore } from "./store.ts";
import type {
  NewPrice,
  PriceFile,
  PriceImported,
  PriceInput,
  PriceList,
  PriceTerm,
  PriceVersion,
  PriceView,
} from "./types.ts";

export interface PriceDeps extends ChangeDeps {
  readonly clock: Clock;
  readonly dice: Dice;
}

type Asker = Pick<Principal, "organisationId" | "keyId">;
type Ids = Pick<PriceDeps, "clock" | "dice">;

export interface PriceService {
  list(asker: Asker, model?: string): Promise<PriceList>;
  create(asker: Asker, input: PriceInput): Promise<PriceView>;
  importFile(asker: Asker, file: PriceFile): Promise<PriceImported>;
}

const toView = (price: NewPrice & Pick<PriceVersion, "id">): PriceView => ({
  id: price.id,
  model: price.model,
  effectiveFrom: new Date(price.effectiveFromMs).toISOString(),
  source: price.source,
  perMillion: Object.fromEntries(
    Object.entries(price.picoPerUnit).map(([meter, pico]) => [meter, toPerMillion(pico)]),
  ),
});

/** `within`: where the input lies in what was sent, as in `prices[3].`. */
function toFault(refusal: Refusal, within = ""): Fault {
  const { code, ok: _, ...details } = refusal;
  return new Fault(code, {
    ...details,
    ...(details.field === undefined ? {} : { field: `${within}${details.field}` }),
  });
}

const toConflict = (cause: unknown) =>
  new Fault("change.conflict", {
    message: "another change of these prices came first",
    hint: "look at the prices again",
    cause,
  });

const stamp = (ids: Ids, price: NewPrice) => ({
  ...price,
  id: makeId("price", ids.clock, ids.dice),
});

async function create(deps: PriceDeps, asker: Asker, input: PriceInput): Promise<PriceView> {
  const { organisationId, keyId } = asker;
  return deps.inTransaction(async (trx) => {
    const store = openPriceStore(trx);
    const nowMs = deps.clock.nowMs();
    const existing = await store.selectVersions(organisationId, input.model);
    const judged = judgePrice(existing, input, nowMs);
    if (!judged.ok) throw toFault(judged);
    if (judged.change === "none")
      throw new Fault("entity.exists", {
        message: `${input.model} has this very price already`,
        field: "effectiveFrom",
      });
    const price = stamp(deps, judged.price);
    await store.insertVersions(organisationId, [price], new Date(nowMs));
    const view = toView(price);
    await deps.audit(trx, {
      organisationId,
      actor: keyId,
      action: "price.create",
      subject: price.id,
      details: { model: view.model, effectiveFrom: view.effectiveFrom },
    });
    await deps.markSnapshotDirty(trx);
    return view;
  });
}

/** What of the file is new; throws at the first entry that cannot be. */
function choosePrices(
  existing: readonly PriceVersion[],
  file: PriceFile,
  nowMs: number,
): NewPrice[] {
  const ofModel = Map.groupBy(existing, (version) => version.model);
  const seen = new Set<string>();
  return file.prices.flatMap((input, at) => {
    const within = `prices[${at}].`;
    const judged = judgePrice(ofModel.get(input.model) ?? [], input, nowMs);
    if (!judged.ok) throw toFault(judged, within);
    const key = `${judged.price.effectiveFromMs} ${input.model}`;
    if (seen.has(key))
      throw new Fault("request.invalid", {
        message: `${input.model} is in the file twice with this date`,
        field: `${within}effectiveFrom`,
      });
    seen.add(key);
    return judged.change === "add" ? [judged.price] : [];
  });
}

async function insertFile(
  ids: Ids,
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  file: PriceFile,
): Promise<PriceImported> {
  const store = openPriceStore(trx);
  const nowMs = ids.clock.nowMs();
  const existing = await store.selectVersions(organisationId);
  const added = choosePrices(existing, file, nowMs).map((price) => stamp(ids, price));
  if (added.length > 0) await store.insertVersions(organisationId, added, new Date(nowMs));
  return { added: added.length, unchanged: file.prices.length - added.length };
}

async function importFile(deps: PriceDeps, asker: Asker, file: PriceFile): Promise<PriceImported> {
  const { organisationId, keyId } = asker;
  return deps.inTransaction(async (trx) => {
    const imported = await insertFile(deps, trx, organisationId, file);
    if (imported.added === 0) return imported;
    await deps.audit(trx, {
      organisationId,
      actor: keyId,
      action: "price.import",
      subject: organisationId,
      details: { asOf: file.asOf, ...imported },
    });
    await deps.markSnapshotDirty(trx);
    return imported;
  });
}

async function orConflict<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw isUniqueViolation(error) ? toConflict(error) : error;
  }
}

export function createPriceService(deps: PriceDeps): PriceService {
  return {
    list: async ({ organisationId }, model) => {
      const versions = await deps.inTransaction((trx) =>
        openPriceStore(trx).selectVersions(organisationId, model),
      );
      return { items: versions.map(toView), next: null };
    },
    create: (asker, input) => orConflict(create(deps, asker, input)),
    importFile: (asker, file) => orConflict(importFile(deps, asker, file)),
  };
}

/** For the first start, within its transaction: the shipped file becomes an organisation's prices. */
export async function seedPrices(
  ids: Ids,
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  file: PriceFile,
): Promise<PriceImported> {
  return insertFile(ids, trx, organisationId, file);
}

/** For rating and for showing how an amount came about: versions by ref, whoever's they are; an unknown ref is absent. */
export function readPriceTerms(
  trx: Transaction<DB>,
  refs: readonly number[],
): Promise<ReadonlyMap<number, PriceTerm>> {
  return openPriceStore(trx).selectTerms(refs);
}

/** For the registry's view: the names that have a price at that time. */
export async function selectPricedNames(
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  atMs: number,
): Promise<ReadonlySet<string>> {
  const versions = await openPriceStore(trx).selectVersions(organisationId);
  return new Set(
    versions.filter(({ effectiveFromMs }) => effectiveFromMs <= atMs).map(({ model }) => model),
  );
}

/** A price from now on, unless the organisation has already set one for this model, whatever it is. */
export async function ensurePrice(
  ids: Ids,
  trx: Transaction<DB>,
  organisationId: OrganisationId,
  input: Pick<PriceInput, "model" | "perMillion" | "source">,
): Promise<void> {
  const store = openPriceStore(trx);
  if ((await store.selectVersions(organisationId, input.model)).length > 0) return;
  const at = new Date(ids.clock.nowMs());
  const price = toNewPrice({ ...input, effectiveFrom: at.toISOString() });
  await store.insertVersions(organisationId, [stamp(ids, price)], at);
}
