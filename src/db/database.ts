// The connection to Postgres: one pool, Kysely on top, and how columns become values.
// Invariant: int8 and whole numerics arrive as bigint, timestamptz as Date; nothing that holds money is ever a float.

import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import type { DB } from "./schema.gen.ts";

const INT8 = 20;
const NUMERIC = 1700;

/** Every numeric column is numeric(38,0); only an average has a fraction, and stays text. */
const parseWhole = (text: string) => (text.includes(".") ? text : BigInt(text));

const types: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: string) =>
    (oid === INT8 || oid === NUMERIC) && format !== "binary"
      ? parseWhole
      : pg.types.getTypeParser(oid, format === "binary" ? "binary" : "text"),
};

export interface Database {
  readonly db: Kysely<DB>;
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly connectionsMax?: number;
  /** Idle connections break when Postgres restarts; the pool replaces them, this only hears of it. */
  readonly onIdleError?: (error: Error) => void;
}

/** `url`: postgres://user:password@host:port/database. Connects on first use. */
export function openDatabase(url: string, options: DatabaseOptions = {}): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.connectionsMax ?? 10,
    connectionTimeoutMillis: 5_000,
    // A test or a command that is done need not wait for idle connections.
    allowExitOnIdle: true,
    types,
  });
  pool.on("error", (error) => options.onIdleError?.(error));
  const db = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
  return {
    db,
    pool,
    close: async () => {
      await db.destroy();
      // Kysely ends the pool only when it has used it.
      if (!pool.ended) await pool.end();
    },
  };
}
