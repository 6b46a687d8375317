// For tests: facts come into the ledger the way they do in the product, as a gateway's sealed segments that are received and posted.
// Invariant: nothing here writes a table by itself; nothing here runs in the product.

import type { Transaction } from "kysely";
import type { Database } from "../../db/database.ts";
import type { DB } from "../../db/schema.gen.ts";
import { systemClock } from "../../kit/clock.ts";
import { silentLog } from "../../kit/log.ts";
import type { Fact } from "../metering/types.ts";
import { receiveSegment } from "./receive.ts";
import { postSegments, type LedgerDeps } from "./service.ts";

/** What a journal gives: see `fakeJournal` of the wing's fixture. */
interface Journal {
  readonly gateway: string;
  settle(facts: readonly Fact[]): { readonly bytes: Uint8Array };
}

/** `priceTerms`: `readPriceTerms` of the prices room. */
export function openLedger({ db }: Database, priceTerms: LedgerDeps["priceTerms"]) {
  const inTransaction = <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
    db.transaction().execute(work);
  const deps: LedgerDeps = {
    inTransaction,
    clock: systemClock,
    log: silentLog,
    priceTerms,
    settleSpend: async () => {},
  };
  const receive = (journal: Journal, facts: readonly Fact[]) =>
    receiveSegment(deps, journal.gateway, journal.settle(facts).bytes);
  return {
    deps,
    receive,
    /** One segment, received and posted. */
    post: async (journal: Journal, facts: readonly Fact[]) => {
      await receive(journal, facts);
      return postSegments(deps, { batchMax: 32 });
    },
  };
}
