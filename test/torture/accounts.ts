// The last word: what callers were given, against what the database says. Read by plain SQL, so that no code of ours is believed.

import pg from "pg";
import type { Wish } from "./upstream.ts";

export interface Verdict {
  /** Acknowledged, but no fact with exactly these tokens. */
  readonly lost: number;
  /** More than one fact for an attempt, or more than one answer billed for a request. */
  readonly doubled: number;
  /** Reached the upstream, but left no fact at all. */
  readonly unaccounted: number;
  readonly facts: number;
  /** Sums that do not agree with each other, in words; empty: all add up. */
  readonly flaws: readonly string[];
}

interface FactRow {
  readonly request_id: string;
  readonly attempt: number;
  readonly status: string;
  readonly quantities: readonly { readonly meter: string; readonly amount: string | number }[];
}

const amountOf = (fact: FactRow, meter: string) =>
  Number(fact.quantities.find((quantity) => quantity.meter === meter)?.amount ?? 0);

const matches = (wish: Wish) => (fact: FactRow) =>
  fact.status === "ok" &&
  amountOf(fact, "input_tokens") === wish.input &&
  amountOf(fact, "output_tokens") === wish.output;

function countDoubled(ofRequest: ReadonlyMap<string, readonly FactRow[]>): number {
  let doubled = 0;
  for (const facts of ofRequest.values()) {
    const attempts = new Set(facts.map(({ attempt }) => attempt));
    const answered = facts.filter(({ status }) => status === "ok").length;
    if (attempts.size < facts.length || answered > 1) doubled += 1;
  }
  return doubled;
}

/** Each row: a name and two sums that must be equal. */
const SUMS = `
  select 'entries of a segment' as name, 0::numeric as wanted, coalesce(sum(abs(total)), 0) as found
    from (select sum(amount_pico) as total from ledger_entries group by gateway, lane, sequence) s
  union all select 'receivable = facts', (select coalesce(sum(amount_pico), 0) from facts),
    (select coalesce(sum(amount_pico), 0) from ledger_entries where account = 'receivable')
  union all select 'minutes = facts', (select coalesce(sum(amount_pico), 0) from facts),
    (select coalesce(sum(amount_pico), 0) from usage_minutes)
  union all select 'requests of minutes = facts', (select count(*) from facts),
    (select coalesce(sum(requests), 0) from usage_minutes)
  union all select 'settled spend = facts', (select coalesce(sum(amount_pico), 0) from facts),
    (select coalesce(sum(settled_pico), 0) from spend_budgets)
  union all select 'budget sums = grants', (select coalesce(sum(outstanding_pico), 0) from spend_grants),
    (select coalesce(sum(granted_pico), 0) from spend_budgets)
  union all select 'frozen lanes', 0,
    (select count(*) from ledger_cursors where frozen_reason is not null)`;

/** True once every sealed segment that arrived is posted; what still lies on gateways' disks is for the caller to wait for. */
export async function isAllPosted(databaseUrl: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ open: string }>(
      "select count(*) as open from ledger_cursors where received > posted and frozen_reason is null",
    );
    return rows[0]?.open === "0";
  } finally {
    await client.end();
  }
}

export async function judgeAccounts(
  databaseUrl: string,
  acknowledged: ReadonlyMap<string, Wish>,
  arrived: ReadonlySet<string>,
): Promise<Verdict> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<FactRow>(
      "select request_id, attempt, status, quantities from facts",
    );
    const ofRequest = Map.groupBy(rows, (row) => row.request_id);
    const sums = await client.query<{ name: string; wanted: string; found: string }>(SUMS);
    const isLost = ([id, wish]: readonly [string, Wish]) =>
      !(ofRequest.get(id) ?? []).some(matches(wish));
    return {
      lost: [...acknowledged].filter(isLost).length,
      doubled: countDoubled(ofRequest),
      unaccounted: [...arrived].filter((id) => !ofRequest.has(id)).length,
      facts: rows.length,
      flaws: sums.rows
        .filter(({ wanted, found }) => BigInt(wanted) !== BigInt(found))
        .map(({ name, wanted, found }) => `${name}: ${wanted} ≠ ${found}`),
    };
  } finally {
    await client.end();
  }
}
