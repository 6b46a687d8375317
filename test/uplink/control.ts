// Control's end of the uplink for tests: the real server, registry, ledger receipt and publisher over a real Postgres.
// The giver is a script that writes down what it was asked, unless a test brings its own.

import type { Transaction } from "kysely";
import type { LeaseExchange, LeaseGiver, LeaseResource } from "../../src/billing/budgets/types.ts";
import { committedLanes, receiveSegment } from "../../src/billing/ledger/receive.ts";
import type { DB } from "../../src/db/schema.gen.ts";
import type { TestDatabase } from "../../src/db/test-database.ts";
import { openHttpServer } from "../../src/http/server.ts";
import { systemClock, systemDice } from "../../src/kit/clock.ts";
import { Fault } from "../../src/kit/fault.ts";
import { makeId } from "../../src/kit/id.ts";
import { silentLog, type Log } from "../../src/kit/log.ts";
import { openPublisher } from "../../src/snapshot/publish.ts";
import { signingKeysFrom } from "../../src/snapshot/sign.ts";
import { markSnapshotDirty } from "../../src/snapshot/store.ts";
import { createGatewaysService } from "../../src/system/gateways/service.ts";
import { createUplink, type UplinkDeps } from "../../src/uplink/control.ts";

export const uplinkKey = new Uint8Array(32).fill(5);
export const signingKeys = signingKeysFrom(new Uint8Array(32).fill(6));
export const newGateway = (): string => makeId("gw", systemClock, systemDice);

/** Grants whatever is wanted; `said` is what it was asked, in order. */
export function scriptedGiver() {
  const said: string[] = [];
  const exchanges: LeaseExchange[] = [];
  const listeners: ((gateway: string, resources: readonly LeaseResource[]) => void)[] = [];
  const giver: LeaseGiver = {
    open: async ({ epoch, resumes, recoveredUpTo }) =>
      void said.push(`open ${epoch} resumes ${resumes} recovered ${recoveredUpTo}`),
    exchange: async (exchange) => {
      exchanges.push(exchange);
      const { sequence, declares, takes, gives, epoch } = exchange;
      if (declares.length + takes.length + gives.length > 0)
        said.push(`${epoch}/${sequence} ${declares.length}d ${takes.length}t ${gives.length}g`);
      const grants = takes.map(({ resource, want }) => ({
        resource,
        amount: want,
        termMs: 60_000,
        mode: "ample" as const,
        retryAfterMs: 0,
      }));
      return { grants, sharePpm: 1_000_000 };
    },
    leave: async (_, epoch) => void said.push(`leave ${epoch}`),
    onRecall: (listener) => void listeners.push(listener),
    close: async () => {},
  };
  const recall = (gateway: string, resources: readonly LeaseResource[]) => {
    for (const listener of listeners) listener(gateway, resources);
  };
  return { giver, said, exchanges, recall };
}

const inTransactionOf =
  ({ db }: TestDatabase) =>
  <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
    db.transaction().execute(work);

export interface ControlOptions extends Partial<Omit<UplinkDeps, "log">> {
  readonly port?: number;
  readonly log?: Log;
}

const TERMS = { lostMs: 6_000, shareMs: 900_000 };

export async function openControl(database: TestDatabase, options: ControlOptions = {}) {
  const { port = 0, log = silentLog, ...change } = options;
  const inTransaction = inTransactionOf(database);
  const receiveDeps = { inTransaction, clock: systemClock, log };
  const publisher = await openPublisher({
    db: database.db,
    privateKey: signingKeys.privateKey,
    clock: systemClock,
    log: silentLog,
    failures: { add: () => {} },
    ageMaxMs: 3_600_000,
  });
  const uplink = createUplink({
    key: uplinkKey,
    gateways: createGatewaysService({ db: database.db, clock: systemClock }),
    segments: {
      committed: (gateway) => committedLanes(receiveDeps, gateway),
      receive: (gateway, bytes) => receiveSegment(receiveDeps, gateway, bytes),
    },
    leases: scriptedGiver().giver,
    snapshot: publisher,
    terms: TERMS,
    clock: systemClock,
    log,
    ...change,
  });
  const server = openHttpServer({
    host: "127.0.0.1",
    port,
    portFlag: "--control-port",
    routes: [],
    authenticate: () => Promise.reject(new Fault("key.missing", { message: "no key" })),
    handlers: [uplink.handler],
    makeRequestId: () => "req_test",
    log,
  });
  return {
    url: server.url,
    port: server.port,
    uplink,
    /** Publishes a new snapshot at once. */
    publish: async () => {
      await inTransaction(markSnapshotDirty);
      await publisher.poll();
      return publisher.latest()?.sequence ?? 0;
    },
    close: async () => {
      uplink.close();
      await server.close(1_000);
      await publisher.close();
    },
  };
}
export type Control = Awaited<ReturnType<typeof openControl>>;
