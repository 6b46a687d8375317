// Giver, sources and holders together over a lossy line in simulated time: gateways and control die, are cut off and come back,
// callers come and go, journals are posted late. Money is in real Postgres.
// Invariant: what was used, when, is written down by the world itself, never read from what is tested.

import type { Transaction } from "kysely";
import { openInProcessSource } from "../../src/billing/budgets/in-process.source.ts";
import { openLeaseGiver } from "../../src/billing/budgets/service.ts";
import { releaseEndedLives, settleSpend } from "../../src/billing/budgets/spend.ts";
import type {
  LeaseGiver,
  LeaseResource,
  LeaseSource,
  Timers,
} from "../../src/billing/budgets/types.ts";
import type { Database } from "../../src/db/database.ts";
import type { DB } from "../../src/db/schema.gen.ts";
import { openLeaseHolder } from "../../src/gateway/leases/holder.ts";
import type { LeaseHolder, Need } from "../../src/gateway/leases/types.ts";
import { seededDice } from "../../src/kit/clock.ts";
import { silentLog } from "../../src/kit/log.ts";
import { openFakeTime } from "./time.ts";

const TERMS = { windowTermMs: 30_000, lostMs: 6_000, shareMs: 30_000 };
const MONTH = "2025-11";
export const REQUESTS: LeaseResource = "requests:key:key_a";
export const TOKENS: LeaseResource = "tokens:key:key_a";
export const STREAMS: LeaseResource = "streams:key:key_a";
export const SPEND: LeaseResource = `spend:project:proj_a:${MONTH}`;

export interface Plan {
  readonly seed: number;
  readonly gateways: number;
  readonly lossPct: number;
  readonly delayMaxMs: number;
  /** Of each gateway. */
  readonly requestsPerSecond: number;
  readonly durationMaxMs: number;
  /** A resource that has none is not asked for. */
  readonly limits: Partial<Record<LeaseResource, bigint>>;
}

interface Process {
  isDead: boolean;
  readonly holder: LeaseHolder & { close(): Promise<void> };
  readonly source: LeaseSource & { close(): Promise<void> };
  /** What each request in flight has reserved, and when. */
  readonly flying: Map<readonly Need[], number>;
}

interface Machine {
  readonly id: string;
  isCut: boolean;
  process: Process | undefined;
  heardAtMs: number;
  sessions: number;
  openedAtMs: number;
  hasLeft: boolean;
  /** Its journal: what each segment says was spent; and how far it is posted. */
  readonly segments: bigint[];
  posted: number;
}

export interface Use {
  readonly fromMs: number;
  readonly toMs: number;
  readonly amount: bigint;
}

export function openWorld(database: Database, plan: Plan) {
  let pending = 0;
  const time = openFakeTime(() => pending > 0);
  const { clock } = time;
  const dice = seededDice(plan.seed);
  const line = { lossPct: plan.lossPct, delayMaxMs: plan.delayMaxMs };
  let [epochs, isLoaded] = [0, true];
  let giver: LeaseGiver | undefined;
  const busy = async <T>(work: () => Promise<T>): Promise<T> => {
    pending += 1;
    try {
      return await work();
    } finally {
      pending -= 1;
    }
  };
  const inTransaction = <T>(work: (trx: Transaction<DB>) => Promise<T>) =>
    busy(() => database.db.transaction().execute(work));

  const uses: Record<"requests" | "tokens", Use[]> = { requests: [], tokens: [] };
  const count = { asked: 0, granted: 0, refused: 0, unreachable: 0, streams: 0, streamsMost: 0 };
  const money = { used: 0n, bound: 0n, most: 0n };

  const machines = Array.from({ length: plan.gateways }, (_, at): Machine => ({
    id: `gw_${at}`,
    isCut: false,
    process: undefined,
    heardAtMs: -Infinity,
    sessions: 0,
    openedAtMs: -Infinity,
    hasLeft: false,
    segments: [],
    posted: 0,
  }));

  const openGiver = async () => {
    const seen = machines
      .filter(({ heardAtMs }) => heardAtMs > -Infinity)
      .map((each) => ({
        gateway: each.id,
        agoMs: clock.monotonicMs() - each.heardAtMs,
        left: each.hasLeft,
        predecessorAgoMs: each.sessions > 1 ? clock.monotonicMs() - each.openedAtMs : null,
      }));
    const limitOf = (resource: LeaseResource) => plan.limits[resource];
    const deps = { inTransaction, limitOf, clock, log: silentLog, terms: TERMS };
    const own = await busy(() => openLeaseGiver(deps, seen));
    giver = own;
    own.onRecall((gateway, resources) =>
      recalls.forEach((listener) => {
        if (giver === own) listener(gateway, resources);
      }),
    );
  };
  const recalls: ((gateway: string, resources: readonly LeaseResource[]) => void)[] = [];

  /** One call over the line: it may be lost or late on either way, and dies with either end. */
  const call = <T>(
    machine: Machine,
    isDead: () => boolean,
    work: (giver: LeaseGiver) => Promise<T>,
  ): Promise<T> => {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const send = (then: () => void) => {
      if (dice.next() * 100 < line.lossPct) return;
      time.timers.after(dice.next() * line.delayMaxMs, () => {
        if (!isDead() && !machine.isCut) then();
      });
    };
    send(() => {
      const own = giver;
      if (own === undefined) return reject(new Error("control is away"));
      machine.heardAtMs = clock.monotonicMs();
      const back = (then: () => void) => send(() => giver === own && then());
      busy(() => work(own)).then(
        (value) => back(() => resolve(value)),
        (error: unknown) => back(() => reject(error)),
      );
    });
    return promise;
  };

  const start = (machine: Machine) => {
    let isDead = false;
    const timers: Timers = {
      after: (ms, work) => time.timers.after(ms, () => void (isDead || work())),
    };
    const over = <T>(work: (giver: LeaseGiver) => Promise<T>) => call(machine, () => isDead, work);
    const source = openInProcessSource({
      giver: {
        open: (opening) => {
          return over((own) => {
            machine.hasLeft = false;
            machine.sessions += 1;
            machine.openedAtMs = clock.monotonicMs();
            return own.open(opening);
          });
        },
        exchange: (exchange) => over((own) => own.exchange(exchange)),
        leave: (gateway, epoch) =>
          over(async (own) => {
            await own.leave(gateway, epoch);
            machine.hasLeft = true;
          }),
        onRecall: (listener) =>
          void recalls.push((gateway, resources) => {
            if (!isDead && !machine.isCut) listener(gateway, resources);
          }),
      },
      gateway: machine.id,
      nextEpoch: () => (epochs += 1),
      recoveredUpTo: machine.segments.length,
      terms: TERMS,
      clock,
      timers,
    });
    const holder = openLeaseHolder({ source, clock, timers });
    const flying = new Map<readonly Need[], number>();
    const process: Process = {
      get isDead() {
        return isDead;
      },
      set isDead(dead) {
        isDead = dead;
      },
      holder,
      source,
      flying,
    };
    machine.process = process;
    load(machine, process, timers);
  };

  const needsNow = (): Need[] =>
    [
      { resource: REQUESTS, amount: 1n },
      { resource: STREAMS, amount: 1n },
      { resource: TOKENS, amount: BigInt(1 + Math.floor(dice.next() * 40)) },
      { resource: SPEND, amount: BigInt(1 + Math.floor(dice.next() * 1_000)) },
    ].flatMap((need): Need[] => {
      const limit = plan.limits[need.resource];
      return limit === undefined ? [] : [{ ...need, limit }];
    });

  const load = (machine: Machine, process: Process, timers: Timers) => {
    const pauseMs = (-Math.log(1 - dice.next()) * 1_000) / plan.requestsPerSecond;
    timers.after(pauseMs, () => {
      load(machine, process, timers);
      if (isLoaded && machine.process === process) request(machine, process, timers);
    });
  };

  const request = (machine: Machine, process: Process, timers: Timers) => {
    const needs = needsNow();
    count.asked += 1;
    const outcome = process.holder.reserve(needs);
    if (outcome === true) return begin(machine, process, needs, timers);
    const hear = (said: Awaited<typeof outcome>) => {
      if (process.isDead) return;
      if (said === true) {
        begin(machine, process, needs, timers);
        // Stopped in this very moment: nothing outlives the process.
        if (machine.process !== process) end(machine, process, needs, true);
      } else if (said.unreachable) count.unreachable += 1;
      else count.refused += 1;
    };
    outcome.then(hear, () => {});
  };

  const amountOf = (needs: readonly Need[], resource: LeaseResource) =>
    needs.find((need) => need.resource === resource)?.amount ?? 0n;

  const begin = (machine: Machine, process: Process, needs: readonly Need[], timers: Timers) => {
    const nowMs = clock.monotonicMs();
    count.granted += 1;
    process.flying.set(needs, nowMs);
    uses.requests.push({ fromMs: nowMs, toMs: nowMs, amount: 1n });
    count.streams += 1;
    count.streamsMost = Math.max(count.streamsMost, count.streams);
    money.bound += amountOf(needs, SPEND);
    money.most = money.bound + money.used > money.most ? money.bound + money.used : money.most;
    timers.after(dice.next() * plan.durationMaxMs, () => end(machine, process, needs, true));
  };

  /** The caller's part is over, or the process is; its journal tells either way. */
  const end = (machine: Machine, process: Process, needs: readonly Need[], isSettled: boolean) => {
    const fromMs = process.flying.get(needs);
    if (fromMs === undefined) return;
    process.flying.delete(needs);
    const part = BigInt(Math.floor(dice.next() * 101));
    const used = new Map(needs.map(({ resource, amount }) => [resource, (amount * part) / 100n]));
    used.set(REQUESTS, 1n).set(STREAMS, 0n);
    const spent = used.get(SPEND) ?? 0n;
    uses.tokens.push({ fromMs, toMs: clock.monotonicMs(), amount: used.get(TOKENS) ?? 0n });
    count.streams -= 1;
    money.bound -= amountOf(needs, SPEND);
    money.used += spent;
    if (spent > 0n) machine.segments.push(spent);
    if (isSettled)
      for (const need of needs) process.holder.settle(need, used.get(need.resource) ?? 0n);
  };

  const post = async (all: boolean) => {
    for (const machine of machines) {
      const upTo = all
        ? machine.segments.length
        : machine.posted + Math.floor(dice.next() * (machine.segments.length - machine.posted + 1));
      const spends = machine.segments.slice(machine.posted, upTo).map((amountPico, at) => ({
        gateway: machine.id,
        sequence: machine.posted + at + 1,
        projectRef: 3,
        month: MONTH,
        amountPico,
      }));
      const projectIds = async () => new Map([[3, "proj_a"]]);
      if (spends.length > 0) await inTransaction((trx) => settleSpend({ projectIds }, trx, spends));
      machine.posted = upTo;
    }
    const postedUpTo = async () => new Map(machines.map(({ id, posted }) => [id, posted]));
    await releaseEndedLives({ inTransaction, postedUpTo });
  };

  const kill = (machine: Machine) => {
    const { process } = machine;
    if (!process) return;
    machine.process = undefined;
    for (const needs of process.flying.keys()) end(machine, process, needs, false);
    process.isDead = true;
  };
  const stop = (machine: Machine) => {
    const { process } = machine;
    if (!process) return;
    machine.process = undefined;
    for (const needs of process.flying.keys()) end(machine, process, needs, true);
    void process.holder.close().then(() => process.source.close().catch(() => {}));
  };
  return {
    ...time,
    machines,
    line,
    count,
    money,
    uses,
    start,
    kill,
    stop,
    post,
    openGiver,
    killGiver: () => (giver = undefined),
    stopGiver: async () => {
      const own = giver;
      await (own && busy(() => own.close()));
      giver = undefined;
    },
    rest: () => (isLoaded = false),
  };
}

export type World = ReturnType<typeof openWorld>;
