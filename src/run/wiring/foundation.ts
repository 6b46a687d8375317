// What every role with a database begins with: the pool, the derived keys, and the functions that services are handed.
// Invariant: the master key itself goes no further than this file; rooms get the one derived key that they need.

import type { Transaction } from "kysely";
import { openAudit } from "../../audit/log/service.ts";
import type { Config } from "../../config.ts";
import type { ChangeDeps } from "../../db/change.types.ts";
import { openDatabase, type Database } from "../../db/database.ts";
import type { DB } from "../../db/schema.gen.ts";
import { systemClock, systemDice, type Clock, type Dice } from "../../kit/clock.ts";
import { errorText, type Log } from "../../kit/log.ts";
import { deriveKey, type MasterKey, type SecretPurpose } from "../../kit/secret.ts";
import { signingKeysFrom, type SigningKeys } from "../../snapshot/sign.ts";
import { markSnapshotDirty } from "../../snapshot/store.ts";
import { readMasterKey } from "../data-dir.ts";

export interface Keys {
  readonly derived: (purpose: SecretPurpose) => Uint8Array;
  readonly signing: SigningKeys;
  /** What the embedded engine's callers send. */
  readonly engineBearer: string;
}

export interface Foundation extends ChangeDeps {
  readonly database: Database;
  readonly keys: Keys;
  readonly clock: Clock;
  readonly dice: Dice;
  readonly log: Log;
}

export function keysFrom(master: MasterKey): Keys {
  return {
    derived: (purpose) => deriveKey(master, purpose),
    signing: signingKeysFrom(deriveKey(master, "signing")),
    engineBearer: Buffer.from(deriveKey(master, "engine")).toString("base64url"),
  };
}

/** The installation's keys, for a role started on its own. */
export function readKeys(config: Config): Keys {
  const secret = { text: config.INTERTIE_MASTER_KEY, file: config.INTERTIE_MASTER_KEY_FILE };
  return keysFrom(readMasterKey(config.dataDir, secret, false));
}

export function openFoundation(url: string, keys: Keys, log: Log): Foundation {
  const database = openDatabase(url, {
    onIdleError: (error) => log.warn("database.connection_lost", { reason: errorText(error) }),
  });
  const clock = systemClock;
  const dice = systemDice;
  return {
    database,
    keys,
    clock,
    dice,
    log,
    inTransaction: <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
      database.db.transaction().execute(work),
    audit: openAudit(clock, dice),
    markSnapshotDirty,
  };
}

/** Throws an Error that names the variable. */
export function databaseUrlOf(config: Config): string {
  if (config.DATABASE_URL !== undefined) return config.DATABASE_URL;
  throw new Error("DATABASE_URL is not set: this role works on Postgres");
}
