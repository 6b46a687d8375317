// SQL of spend budgets: what is settled, what gateways hold, per project and month.
// Invariant: `granted_pico` is the sum of a budget's `outstanding_pico` above 0, and every change of either holds the budget's row
// lock. Outstanding is received less given back less settled: below 0 where a gateway used more than it had, until it covers that.

import { sql, type Kysely } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { Handover } from "./types.ts";

type BudgetDb = Kysely<Pick<DB, "spend_budgets" | "spend_grants" | "lease_handovers">>;

export interface SpendBudget {
  readonly resource: string;
  readonly projectId: string;
  readonly month: string;
}

export interface SpendBalance {
  readonly settledPico: bigint;
  readonly grantedPico: bigint;
}

export interface SpendGrant {
  readonly resource: string;
  readonly gateway: string;
  readonly epoch: number;
  readonly outstandingPico: bigint;
  readonly settledPico: bigint;
  readonly releaseAfter: number | null;
}

export interface GrantPut extends Omit<SpendGrant, "releaseAfter"> {
  /** What was outstanding before; 0 for a new grant. */
  readonly before: bigint;
}

export interface BudgetStore {
  /** Each budget's balance by resource, its row made if need be and locked until the transaction ends. */
  lockBudgets(budgets: readonly SpendBudget[]): Promise<ReadonlyMap<string, SpendBalance>>;
  /** Adds to `settled`; also of budgets that nobody has asked for yet, since a limit may be set later in the month. */
  addSettled(additions: readonly (SpendBudget & { readonly amountPico: bigint })[]): Promise<void>;
  /** The budgets of which the gateway's life that runs now was granted anything. */
  selectGranted(gateway: string): Promise<readonly string[]>;
  /** Oldest life first. */
  selectGrants(gateway: string, resources: readonly string[]): Promise<readonly SpendGrant[]>;
  /** Puts grants at these values and moves the budgets' sums by the differences. The budgets must be locked. */
  putGrants(puts: readonly GrantPut[]): Promise<void>;
  /** What the gateway's earlier lives hold is released once its journal is posted up to there. */
  endLife(gateway: string, releaseAfter: number): Promise<void>;
  selectEndedLives(): Promise<readonly { gateway: string; releaseAfter: number }[]>;
  release(gateway: string, releaseAfter: number): Promise<void>;
  /** Leaves a note for control's next start; it is read once. */
  putHandover(handover: Handover): Promise<void>;
  takeHandover(): Promise<Handover | undefined>;
}

/** One parameter, however many there are. */
const anyOf = (resources: readonly string[]) => sql<string>`any(${[...resources]}::text[])`;

const counted = (outstanding: bigint) => (outstanding > 0n ? outstanding : 0n);

const toText = (value: unknown) =>
  JSON.stringify(value, (_, each: unknown) => (typeof each === "bigint" ? each.toString() : each));

async function addSettled(
  db: BudgetDb,
  additions: readonly (SpendBudget & { readonly amountPico: bigint })[],
): Promise<void> {
  const rows = additions.map(({ resource, projectId, month, amountPico }) => ({
    resource,
    project_id: projectId,
    month,
    amount: amountPico,
  }));
  // Sorted, so that two workers lock rows in the same order.
  await sql`insert into spend_budgets as old (resource, project_id, month, settled_pico)
    select resource, project_id, month, sum(amount)
      from json_to_recordset(${toText(rows)}::json)
        as added (resource text, project_id text, month text, amount numeric)
      group by resource, project_id, month order by resource
    on conflict (resource) do update set settled_pico = old.settled_pico + excluded.settled_pico`.execute(
    db,
  );
}

async function release(db: BudgetDb, gateway: string, releaseAfter: number): Promise<void> {
  const ended = await db
    .selectFrom("spend_grants")
    .select(["resource"])
    .where("gateway", "=", gateway)
    .where("release_after", "<=", releaseAfter)
    .orderBy("resource")
    .execute();
  for (const { resource } of ended) {
    await sql`select 1 from spend_budgets where resource = ${resource} for update`.execute(db);
    await sql`with gone as (
        delete from spend_grants where resource = ${resource} and gateway = ${gateway}
          and release_after <= ${releaseAfter} returning outstanding_pico)
      update spend_budgets
        set granted_pico = granted_pico - (select coalesce(sum(greatest(outstanding_pico, 0)), 0) from gone)
        where resource = ${resource}`.execute(db);
  }
}

async function selectGrants(
  db: BudgetDb,
  gateway: string,
  resources: readonly string[],
): Promise<readonly SpendGrant[]> {
  const rows = await db
    .selectFrom("spend_grants")
    .selectAll()
    .where("gateway", "=", gateway)
    .where("resource", "=", anyOf(resources))
    .orderBy("resource")
    .orderBy("epoch")
    .forUpdate()
    .execute();
  return rows.map((row) => ({
    resource: row.resource,
    gateway: row.gateway,
    epoch: row.epoch,
    outstandingPico: row.outstanding_pico,
    settledPico: row.settled_pico,
    releaseAfter: row.release_after,
  }));
}

async function putGrants(db: BudgetDb, puts: readonly GrantPut[]): Promise<void> {
  if (puts.length === 0) return;
  const rows = puts.map(({ resource, gateway, epoch, outstandingPico, settledPico, before }) => ({
    resource,
    gateway,
    epoch,
    outstanding: outstandingPico,
    settled: settledPico,
    difference: counted(outstandingPico) - counted(before),
  }));
  await sql`with put as (
      select * from json_to_recordset(${toText(rows)}::json) as put (resource text, gateway text,
        epoch integer, outstanding numeric, settled numeric, difference numeric)
    ), moved as (
      insert into spend_grants (resource, gateway, epoch, outstanding_pico, settled_pico)
        select resource, gateway, epoch, outstanding, settled from put
      on conflict (resource, gateway, epoch) do update
        set outstanding_pico = excluded.outstanding_pico, settled_pico = excluded.settled_pico
    )
    update spend_budgets budget set granted_pico = budget.granted_pico + sums.difference
      from (select resource, sum(difference) as difference from put group by resource) sums
      where budget.resource = sums.resource and sums.difference <> 0`.execute(db);
}

async function lockBudgets(
  db: BudgetDb,
  budgets: readonly SpendBudget[],
): Promise<ReadonlyMap<string, SpendBalance>> {
  if (budgets.length === 0) return new Map();
  const rows = budgets.map(({ resource, projectId, month }) => ({
    resource,
    project_id: projectId,
    month,
  }));
  // Sorted, so that two transactions lock rows in the same order; made only where they are missing.
  await sql`insert into spend_budgets (resource, project_id, month)
    select resource, project_id, month
      from json_to_recordset(${toText(rows)}::json)
        as asked (resource text, project_id text, month text)
      where not exists (select from spend_budgets known where known.resource = asked.resource)
      order by resource
    on conflict do nothing`.execute(db);
  const locked = await db
    .selectFrom("spend_budgets")
    .select(["resource", "settled_pico", "granted_pico"])
    .where("resource", "=", anyOf(budgets.map(({ resource }) => resource)))
    .orderBy("resource")
    .forUpdate()
    .execute();
  return new Map(
    locked.map((row) => [
      row.resource,
      { settledPico: row.settled_pico, grantedPico: row.granted_pico },
    ]),
  );
}

/** `all`: usually the transaction of the use case. */
export function openBudgetStore(all: Kysely<DB>): BudgetStore {
  const db: BudgetDb = all.$pickTables<"spend_budgets" | "spend_grants" | "lease_handovers">();
  return {
    lockBudgets: (budgets) => lockBudgets(db, budgets),
    addSettled: (additions) => addSettled(db, additions),
    selectGrants: (gateway, resources) =>
      resources.length === 0 ? Promise.resolve([]) : selectGrants(db, gateway, resources),
    selectGranted: async (gateway) => {
      const rows = await db
        .selectFrom("spend_grants")
        .select("resource")
        .where("gateway", "=", gateway)
        .where("release_after", "is", null)
        .execute();
      return rows.map(({ resource }) => resource);
    },
    putGrants: (puts) => putGrants(db, puts),
    endLife: async (gateway, releaseAfter) => {
      await db
        .updateTable("spend_grants")
        .set({ release_after: releaseAfter })
        .where("gateway", "=", gateway)
        .where("release_after", "is", null)
        .execute();
    },
    selectEndedLives: async () => {
      const rows = await db
        .selectFrom("spend_grants")
        .select(["gateway", "release_after"])
        .distinct()
        .where("release_after", "is not", null)
        .execute();
      return rows.flatMap(({ gateway, release_after }) =>
        release_after === null ? [] : [{ gateway, releaseAfter: release_after }],
      );
    },
    release: (gateway, releaseAfter) => release(db, gateway, releaseAfter),
    putHandover: async (handover) => {
      const state = toText(handover);
      await db
        .insertInto("lease_handovers")
        .values({ state })
        .onConflict((conflict) => conflict.column("slot").doUpdateSet({ state }))
        .execute();
    },
    takeHandover: async () => {
      const row = await db.deleteFrom("lease_handovers").returning("state").executeTakeFirst();
      const read = Handover.safeParse(row?.state);
      return read.success ? read.data : undefined;
    },
  };
}
