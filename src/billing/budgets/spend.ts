// Money: the part of an exchange that touches spend budgets, what posting settles of them, and what a dead life held.
// Invariant: settled + granted ≤ limit inside the one transaction that grants, with the budgets' rows locked in their order.

import type { Transaction } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import type { SettledSpend } from "../ledger/types.ts";
import { spendPartsOf, type LeaseVerdict } from "./rules.ts";
import {
  openBudgetStore,
  type BudgetStore,
  type GrantPut,
  type SpendBudget,
  type SpendGrant,
} from "./store.ts";
import type { LeaseAsk, LeaseGive, LeaseResource } from "./types.ts";

export interface SpendExchange {
  readonly gateway: string;
  readonly epoch: number;
  /** Set in a session's first exchange. */
  readonly declares: readonly LeaseGive[] | undefined;
  readonly gives: readonly LeaseGive[];
  readonly takes: readonly LeaseAsk[];
}

/** A budget as a gateway's ask meets it. */
export interface SpendAccount {
  /** Settled and granted, over all gateways. */
  readonly bound: bigint;
  /** Granted to other gateways or to lives that have ended. */
  readonly elsewhere: bigint;
}

export type SpendJudge = (ask: LeaseAsk, account: SpendAccount) => LeaseVerdict;

interface Account {
  readonly budget: SpendBudget;
  readonly row: SpendGrant | undefined;
  readonly settledPico: bigint;
  granted: bigint;
  outstanding: bigint;
}

const counted = (outstanding: bigint) => (outstanding > 0n ? outstanding : 0n);

function put(account: Account, outstanding: bigint): void {
  account.granted += counted(outstanding) - counted(account.outstanding);
  account.outstanding = outstanding;
}

function budgetOf(resource: string): SpendBudget | undefined {
  const parts = spendPartsOf(resource);
  return parts && { resource, ...parts };
}

async function openAccounts(
  store: BudgetStore,
  { gateway, declares, gives, takes }: SpendExchange,
): Promise<Map<string, Account>> {
  const named: string[] = [...(declares ?? []), ...gives, ...takes].map(({ resource }) => resource);
  const granted = declares ? await store.selectGranted(gateway) : [];
  const budgets = [...new Set<string>([...named, ...granted])]
    .toSorted()
    .flatMap((resource) => budgetOf(resource) ?? []);
  const balances = await store.lockBudgets(budgets);
  const rows = await store.selectGrants(
    gateway,
    budgets.map(({ resource }) => resource),
  );
  const live = new Map(
    rows.filter(({ releaseAfter }) => releaseAfter === null).map((row) => [row.resource, row]),
  );
  const accounts = budgets.map((budget): [string, Account] => {
    const { resource } = budget;
    const row = live.get(resource);
    const { settledPico = 0n, grantedPico: granted = 0n } = balances.get(resource) ?? {};
    return [
      resource,
      { budget, row, settledPico, granted, outstanding: row?.outstandingPico ?? 0n },
    ];
  });
  return new Map(accounts);
}

function applyDeclaration(accounts: Map<string, Account>, declares: readonly LeaseGive[]): void {
  const declared = new Map<string, bigint>();
  for (const { resource, amount } of declares)
    declared.set(resource, (declared.get(resource) ?? 0n) + amount);
  for (const [resource, account] of accounts)
    put(account, (declared.get(resource) ?? 0n) - (account.row?.settledPico ?? 0n));
}

function toPuts({ gateway, epoch }: SpendExchange, accounts: Iterable<Account>): GrantPut[] {
  return [...accounts].flatMap(({ budget: { resource }, row, outstanding }): GrantPut[] => {
    const before = row?.outstandingPico ?? 0n;
    if (outstanding === before) return [];
    const grant = row ?? { resource, gateway, epoch, settledPico: 0n };
    return [{ ...grant, outstandingPico: outstanding, before }];
  });
}

/** Verdicts in the order of the takes. */
export async function exchangeSpend(
  trx: Transaction<DB>,
  exchange: SpendExchange,
  judge: SpendJudge,
): Promise<readonly LeaseVerdict[]> {
  const store = openBudgetStore(trx);
  const accounts = await openAccounts(store, exchange);
  if (exchange.declares) applyDeclaration(accounts, exchange.declares);
  for (const { resource, amount } of exchange.gives) {
    const account = accounts.get(resource);
    if (account === undefined) continue;
    const most = counted(account.outstanding);
    put(account, account.outstanding - (amount < most ? amount : most));
  }
  const verdicts = exchange.takes.map((ask) => {
    const account = accounts.get(ask.resource);
    const { settledPico = 0n, granted = 0n, outstanding = 0n } = account ?? {};
    const bound = settledPico + granted;
    const verdict = judge(ask, { bound, elsewhere: granted - counted(outstanding) });
    if (account && verdict.amount > 0n) put(account, outstanding + verdict.amount);
    return verdict;
  });
  await store.putGrants(toPuts(exchange, accounts.values()));
  return verdicts;
}

export interface SettleDeps {
  /** Project ids by ref; what is not known is absent. */
  readonly projectIds: (
    trx: Transaction<DB>,
    refs: readonly number[],
  ) => Promise<ReadonlyMap<number, string>>;
}

interface Settlement extends SpendBudget {
  readonly resource: LeaseResource;
  readonly gateway: string;
  readonly sequence: number;
  readonly amountPico: bigint;
}

/** Usage of a life that has ended is in its last segment or before; the rest is of the life that runs now. */
function lifeOf(grants: readonly SpendGrant[], { resource, sequence }: Settlement): number {
  const ended = grants.findIndex(
    (grant) =>
      grant.resource === resource && grant.releaseAfter !== null && grant.releaseAfter >= sequence,
  );
  if (ended >= 0) return ended;
  return grants.findIndex((grant) => grant.resource === resource && grant.releaseAfter === null);
}

async function settleOf(
  store: BudgetStore,
  gateway: string,
  settlements: readonly Settlement[],
): Promise<void> {
  const resources = [...new Set(settlements.map(({ resource }) => resource))];
  const grants = await store.selectGrants(gateway, resources);
  const used = new Map<number, bigint>();
  for (const settlement of settlements) {
    const at = lifeOf(grants, settlement);
    used.set(at, (used.get(at) ?? 0n) + settlement.amountPico);
  }
  const puts = [...used].flatMap(([at, amount]): GrantPut[] => {
    const grant = grants[at];
    if (grant === undefined) return [];
    const { outstandingPico: before, settledPico } = grant;
    return [
      { ...grant, before, outstandingPico: before - amount, settledPico: settledPico + amount },
    ];
  });
  await store.putGrants(puts);
}

/** Moves what was used from the gateways' grants to the settled sums; in the transaction that posts it. */
export async function settleSpend(
  deps: SettleDeps,
  trx: Transaction<DB>,
  spends: readonly SettledSpend[],
): Promise<void> {
  const store = openBudgetStore(trx);
  const projects = await deps.projectIds(trx, [
    ...new Set(spends.map(({ projectRef }) => projectRef)),
  ]);
  const settlements = spends.flatMap((spend): Settlement[] => {
    const projectId = projects.get(spend.projectRef);
    if (projectId === undefined) return [];
    const { gateway, sequence, month, amountPico } = spend;
    const resource: LeaseResource = `spend:project:${projectId}:${month}`;
    return [{ gateway, sequence, resource, projectId, month, amountPico }];
  });
  if (settlements.length === 0) return;
  await store.addSettled(settlements);
  for (const [gateway, own] of Map.groupBy(settlements, (each) => each.gateway))
    await settleOf(store, gateway, own);
}

export interface ReleaseDeps {
  readonly inTransaction: <T>(work: (trx: Transaction<DB>) => Promise<T>) => Promise<T>;
  /** Up to which sequence each gateway's journal is posted; absent: nothing is. */
  readonly postedUpTo: (
    trx: Transaction<DB>,
    gateways: readonly string[],
  ) => Promise<ReadonlyMap<string, number>>;
}

/** What dead processes held and did not use becomes free; call it after posting, every few seconds. Answers how many lives ended. */
export async function releaseEndedLives({
  inTransaction,
  postedUpTo,
}: ReleaseDeps): Promise<number> {
  const due = await inTransaction(async (trx) => {
    const ended = await openBudgetStore(trx).selectEndedLives();
    if (ended.length === 0) return [];
    const posted = await postedUpTo(trx, [...new Set(ended.map(({ gateway }) => gateway))]);
    return ended.filter(({ gateway, releaseAfter }) => releaseAfter <= (posted.get(gateway) ?? 0));
  });
  // A transaction each, so that budgets are locked in their order.
  for (const { gateway, releaseAfter } of due)
    await inTransaction((trx) => openBudgetStore(trx).release(gateway, releaseAfter));
  return due.length;
}
