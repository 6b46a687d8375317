// Reports: the ledger's reads with names. Every question is of the asker's own organisation.
// Invariant: a filter that names nothing of that organisation is refused, whether or not another one has it.

import type { Transaction } from "kysely";
import { toMinuteMs } from "../../billing/ledger/rules.ts";
import {
  asOrganisationRef,
  type FactFilter,
  type FactReader,
  type OrganisationRef,
} from "../../billing/ledger/types.ts";
import type { PriceTerm } from "../../billing/prices/types.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Principal } from "../../http/types.ts";
import type { Clock } from "../../kit/clock.ts";
import { Fault } from "../../kit/fault.ts";
import type { OrganisationId, RequestId } from "../../kit/id.ts";
import {
  refsOf,
  refsOfKind,
  statusesOf,
  toCursor,
  toDetail,
  toNames,
  toOverview,
  toPosition,
  toRow,
  toUsage,
  type GroupName,
  type Names,
  type Refs,
} from "./rules.ts";
import { openReportStore, type ReportStore } from "./store.ts";
import type {
  Overview,
  OverviewQuery,
  RequestDetail,
  RequestPage,
  RequestsQuery,
  Usage,
  UsageQuery,
} from "./types.ts";

export interface ReportDeps {
  readonly inTransaction: <T>(work: (trx: Transaction<DB>) => Promise<T>) => Promise<T>;
  readonly clock: Pick<Clock, "nowMs">;
  readonly facts: FactReader;
  /** Price versions by ref; what is not known is absent. */
  readonly priceTerms: (
    trx: Transaction<DB>,
    refs: readonly number[],
  ) => Promise<ReadonlyMap<number, PriceTerm>>;
}

type Asker = Pick<Principal, "organisationId">;

export interface ReportService {
  overview(asker: Asker, query: OverviewQuery): Promise<Overview>;
  usage(asker: Asker, query: UsageQuery): Promise<Usage>;
  requests(asker: Asker, query: RequestsQuery): Promise<RequestPage>;
  request(asker: Asker, id: RequestId): Promise<RequestDetail>;
}

const inStore = <T>(deps: ReportDeps, work: (store: ReportStore) => Promise<T>) =>
  deps.inTransaction((trx) => work(openReportStore(trx)));

const refOf = async (deps: ReportDeps, asker: Asker): Promise<OrganisationRef> =>
  asOrganisationRef(
    await inStore(deps, (store) => store.selectOrganisationRef(asker.organisationId)),
  );

const namesOf = async (deps: ReportDeps, asker: Asker, refs: Refs): Promise<Names> =>
  toNames(await inStore(deps, (store) => store.selectNames(asker.organisationId, refs)));

async function overview(
  deps: ReportDeps,
  asker: Asker,
  { minutes }: OverviewQuery,
): Promise<Overview> {
  const nowMs = deps.clock.nowMs();
  // The minute that runs is the last one.
  const toMs = toMinuteMs(nowMs) + 60_000;
  const rows = await deps.facts.window(await refOf(deps, asker), toMs - minutes * 60_000, toMs);
  const whole = rows.find(({ minuteMs }) => minuteMs === null);
  if (!whole) throw new Error("the ledger answered no sum of the window");
  return toOverview(nowMs, whole, rows);
}

/** A model goes by its public name, which is what callers and filters say; others by their id. */
async function groupNames(
  deps: ReportDeps,
  asker: Asker,
  groupBy: UsageQuery["groupBy"],
  groups: readonly string[],
): Promise<GroupName> {
  if (groupBy === "day") return (day) => ({ group: day, label: day });
  const names = await namesOf(deps, asker, refsOfKind(groupBy, groups.map(Number)));
  return (ref) => {
    const { id, name } = names(groupBy, Number(ref));
    return { group: groupBy === "model" ? name : id || name, label: name };
  };
}

async function usage(deps: ReportDeps, asker: Asker, query: UsageQuery): Promise<Usage> {
  const { groupBy, timeZone } = query;
  const question = { fromMs: query.from, toMs: query.to, groupBy, timeZone };
  const groups = await deps.facts.usage(await refOf(deps, asker), question);
  const refs = groups.map(({ group }) => group);
  return toUsage(groups, await groupNames(deps, asker, groupBy, refs), groupBy === "day");
}

function demand<T>(found: T | undefined, field: string, value: string): T {
  if (found !== undefined) return found;
  throw new Fault("request.invalid", { message: `${field}: there is no ${value}`, field });
}

const FILTERS = [
  ["keyId", "keys", "keyRef"],
  ["projectId", "projects", "projectRef"],
  ["engineId", "engines", "engineRef"],
] as const;

async function filterOf(
  store: ReportStore,
  organisationId: OrganisationId,
  query: RequestsQuery,
): Promise<FactFilter> {
  const { model, status } = query;
  const refs: Partial<Record<"keyRef" | "projectRef" | "engineRef", number>> = {};
  for (const [field, table, name] of FILTERS) {
    const id = query[field];
    if (id !== undefined)
      refs[name] = demand(await store.selectRef(organisationId, table, id), field, id);
  }
  const versions =
    model === undefined ? undefined : await store.selectVersionRefs(organisationId, model);
  return {
    ...refs,
    ...(query.from === undefined ? {} : { fromMs: query.from }),
    ...(query.to === undefined ? {} : { toMs: query.to }),
    ...(status === undefined ? {} : { statuses: statusesOf(status) }),
    ...(model === undefined ? {} : { modelVersionRefs: demand(versions, "model", model) }),
  };
}

async function requests(
  deps: ReportDeps,
  asker: Asker,
  query: RequestsQuery,
): Promise<RequestPage> {
  const { organisationId } = asker;
  const { limit, cursor } = query;
  const filter = await inStore(deps, (store) => filterOf(store, organisationId, query));
  const after = cursor === undefined ? undefined : toPosition(cursor);
  const found = await deps.facts.page(await refOf(deps, asker), filter, after, limit + 1);
  const facts = found.slice(0, limit);
  const names = await namesOf(deps, asker, refsOf(facts.map(({ fact }) => fact)));
  const last = facts.at(-1);
  return {
    items: facts.map((posted) => toRow(posted, names)),
    next: last && found.length > limit ? toCursor(last) : null,
  };
}

async function request(deps: ReportDeps, asker: Asker, id: RequestId): Promise<RequestDetail> {
  const attempts = await deps.facts.request(await refOf(deps, asker), id);
  if (attempts.length === 0)
    throw new Fault("entity.not_found", {
      message: `there is no request ${id.slice(0, 64)}`,
      hint: "a request is here about a second after it has ended",
    });
  const refs = refsOf(attempts.map(({ fact }) => fact));
  const names = await namesOf(deps, asker, refs);
  const terms = await deps.inTransaction((trx) => deps.priceTerms(trx, refs.price));
  return {
    requestId: id,
    attempts: attempts.map((posted) =>
      toDetail(posted, names, terms.get(posted.fact.priceVersionRef)?.version),
    ),
  };
}

export function createReportService(deps: ReportDeps): ReportService {
  return {
    overview: (asker, query) => overview(deps, asker, query),
    usage: (asker, query) => usage(deps, asker, query),
    requests: (asker, query) => requests(deps, asker, query),
    request: (asker, id) => request(deps, asker, id),
  };
}
