// For tests: a puller over a real database and real places; also run as a process of its own, so that a test can kill it.

import type { Transaction } from "kysely";
import { openDatabase } from "../../db/database.ts";
import type { DB } from "../../db/schema.gen.ts";
import { systemClock, type Clock } from "../../kit/clock.ts";
import { silentLog } from "../../kit/log.ts";
import { openFetcher } from "./fetch-artifact.ts";
import { makeGoods } from "./places.fixture.ts";
import { openPuller, type Puller } from "./puller.ts";

export interface TestPullerOptions {
  readonly databaseUrl: string;
  readonly folder: string;
  readonly hub: string;
  readonly worker: string;
}

export interface TestPuller extends Puller {
  /** What the transaction that ended a pull did besides, in order. */
  readonly done: readonly string[];
}

export function openTestPuller(
  options: TestPullerOptions,
  clock: Clock = systemClock,
  everyMs = 3_600_000,
): TestPuller {
  const database = openDatabase(options.databaseUrl, { connectionsMax: 2 });
  const done: string[] = [];
  const { model } = makeGoods();
  const { folder, hub, worker } = options;
  const puller = openPuller(
    {
      inTransaction: <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
        database.db.transaction().execute(work),
      audit: async (_, entry) => void done.push(`${entry.action} ${entry.subject}`),
      markSnapshotDirty: async () => void done.push("dirty"),
      registerModel: async (_, __, entry) => void done.push(`register ${entry.name}`),
      priceModel: async (_, __, entry) => void done.push(`price ${entry.name}`),
      clock,
      log: silentLog,
      fetchArtifact: openFetcher({
        folder,
        hub,
        pip: { indexUrls: [], cert: undefined, proxy: undefined },
      }),
    },
    { catalogue: [model], folder, worker, everyMs },
  );
  return {
    ...puller,
    done,
    close: async () => {
      await puller.close();
      await database.close();
    },
  };
}

if (import.meta.main) {
  const [databaseUrl = "", folder = "", hub = ""] = process.argv.slice(2);
  openTestPuller({ databaseUrl, folder, hub, worker: `child ${process.pid}` }, systemClock, 20);
}
