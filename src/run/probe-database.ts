// A look at a database without changing it: which migrations it has, and what time it thinks it is.

import { openDatabase } from "../db/database.ts";
import { compareMigrations } from "../db/migrate.ts";

export interface DatabaseProbe {
  readonly pending: readonly string[];
  /** Applied there, unknown here: a newer version was at work. */
  readonly unknown: readonly string[];
  readonly nowMs: number;
  /** Journals whose posting stopped, each with its reason. */
  readonly frozen: readonly string[];
}

type Pool = ReturnType<typeof openDatabase>["pool"];

async function frozenLanes(pool: Pool): Promise<readonly string[]> {
  const { rows } = await pool.query<{ gateway: string; lane: number; reason: string }>(
    "select gateway, lane, frozen_reason as reason from ledger_cursors where frozen_reason is not null order by 1, 2",
  );
  return rows.map(({ gateway, lane, reason }) => `${gateway} lane ${lane}: ${reason}`);
}

export async function probeDatabase(url: string): Promise<DatabaseProbe> {
  const database = openDatabase(url, { connectionsMax: 1 });
  try {
    const { rows } = await database.pool.query<{ now: Date; known: boolean; posts: boolean }>(
      "select clock_timestamp() as now, to_regclass('migrations') is not null as known, to_regclass('ledger_cursors') is not null as posts",
    );
    const applied = rows[0]?.known
      ? await database.pool.query<{ name: string }>("select name from migrations")
      : { rows: [] };
    const { pending, unknown } = await compareMigrations(applied.rows.map(({ name }) => name));
    return {
      pending,
      unknown,
      nowMs: rows[0]?.now.getTime() ?? 0,
      frozen: rows[0]?.posts ? await frozenLanes(database.pool) : [],
    };
  } finally {
    await database.close();
  }
}
