// Power losses: the real journal on a disk that forgets what was not synced, shipping to the real ledger in a real Postgres.
// Invariant checked: what was acknowledged before a loss is in the ledger once, and nothing is there twice.

import { postSegments } from "../../src/billing/ledger/service.ts";
import { receiveSegment } from "../../src/billing/ledger/receive.ts";
import { readPriceTerms } from "../../src/billing/prices/service.ts";
import { reported, seedTenant } from "../../src/billing/tenant.fixture.ts";
import { openTestDatabase, type TestDatabase } from "../../src/db/test-database.ts";
import { openJournal, type Journal } from "../../src/gateway/journal/journal.ts";
import { systemClock, type Dice } from "../../src/kit/clock.ts";
import { openFaultyFiles } from "../../src/kit/file-port.faulty.ts";
import { makeId } from "../../src/kit/id.ts";
import { silentLog } from "../../src/kit/log.ts";
import { judgeAccounts } from "./accounts.ts";
import type { Wish } from "./upstream.ts";

export interface PowerVerdict {
  readonly losses: number;
  readonly lost: number;
  readonly doubled: number;
  readonly unaccounted: number;
  readonly acknowledged: number;
}

const GATEWAY = `gw_${"0".repeat(26)}`;
const REQUESTS_A_LIFE = 16;

type Tenant = Awaited<ReturnType<typeof seedTenant>>;
type Scene = Readonly<{
  database: TestDatabase;
  tenant: Tenant;
  dice: Dice;
  acknowledged: Map<string, Wish>;
  begun: Set<string>;
}>;

const inTransactionOf =
  ({ db }: TestDatabase) =>
  <T>(
    work: (
      trx: Parameters<Parameters<ReturnType<typeof db.transaction>["execute"]>[0]>[0],
    ) => Promise<T>,
  ) =>
    db.transaction().execute(work);

/** Ships what is sealed, as the uplink does: received, then deleted. A loss in between ships it again. */
async function ship(scene: Scene, journal: Journal): Promise<void> {
  const deps = {
    inTransaction: inTransactionOf(scene.database),
    clock: systemClock,
    log: silentLog,
  };
  // A copy: what is committed leaves the journal's own list.
  for (const sealed of journal.pending().slice()) {
    const bytes = await journal.read(sealed);
    const { committed } = await receiveSegment(deps, GATEWAY, bytes);
    await journal.committed(committed);
  }
}

async function request(scene: Scene, journal: Journal): Promise<void> {
  const { dice, tenant, acknowledged, begun } = scene;
  const wish: Wish = {
    input: 1 + Math.floor(dice.next() * 900),
    output: 1 + Math.floor(dice.next() * 90),
    streamed: false,
  };
  const fact = tenant.fact({ requestId: makeId("req", systemClock, dice), quantities: [] });
  await journal.append({ type: "intent", fact });
  begun.add(fact.requestId);
  const quantities = [
    reported("input_tokens", BigInt(wish.input)),
    reported("output_tokens", BigInt(wish.output)),
  ];
  await journal.append({ type: "settle", fact: { ...fact, quantities } });
  acknowledged.set(fact.requestId, wish);
}

async function live(
  scene: Scene,
  files: ReturnType<typeof openFaultyFiles>,
  epoch: number,
  cut: boolean,
): Promise<void> {
  const { dice } = scene;
  const journal = await openJournal({
    folder: "/journal",
    gateway: GATEWAY,
    lane: 0,
    epoch,
    files: files.session(),
    clock: systemClock,
    log: silentLog,
    segmentRecordsMax: 9,
  });
  const work = Array.from({ length: REQUESTS_A_LIFE }, () => request(scene, journal));
  const all = Promise.allSettled([...work, ship(scene, journal)]);
  if (cut) {
    for (let turns = Math.floor(dice.next() * 90); turns > 0; turns -= 1) await Promise.resolve();
    if (dice.next() < 0.3) await all;
    files.cutPower(dice);
    await all;
    return;
  }
  await all;
  await journal.close();
  await ship(scene, journal);
}

export async function losePower(losses: number, dice: Dice): Promise<PowerVerdict> {
  const database = await openTestDatabase();
  try {
    const tenant = await seedTenant(database);
    const scene: Scene = { database, tenant, dice, acknowledged: new Map(), begun: new Set() };
    const files = openFaultyFiles();
    for (let life = 1; life <= losses; life += 1) await live(scene, files, life, true);
    await live(scene, files, losses + 1, false);
    const deps = {
      inTransaction: inTransactionOf(database),
      clock: systemClock,
      log: silentLog,
      priceTerms: readPriceTerms,
      settleSpend: () => Promise.resolve(),
    };
    while ((await postSegments(deps, { batchMax: 50 })).more);
    const verdict = await judgeAccounts(database.url, scene.acknowledged, scene.begun);
    const { lost, doubled, unaccounted } = verdict;
    return { losses, lost, doubled, unaccounted, acknowledged: scene.acknowledged.size };
  } finally {
    await database.close();
  }
}
