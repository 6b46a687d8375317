// The lease giver: control's end of every limit and budget. Windows and permits live in memory, money in Postgres.
// Invariants: of no limit is more in hand, over all gateways that may be using it, than its whole; one exchange of a gateway at a
// time; what cannot be known for sure (control crashed, a gateway is cut off) counts as used.

import type { Transaction } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import type { Clock } from "../../kit/clock.ts";
import { Fault } from "../../kit/fault.ts";
import type { Log } from "../../kit/log.ts";
import { fromHandover, toHandover, type State } from "./handover.rules.ts";
import type { Session } from "./roster.state.ts";
import { LEASE_TERMS, judgeLease, kindOf, lapseMs, type LeaseVerdict } from "./rules.ts";
import { ScarceList } from "./scarce.state.ts";
import { exchangeSpend, type SpendAccount } from "./spend.ts";
import { openBudgetStore } from "./store.ts";
import type {
  LeaseAnswer,
  LeaseAsk,
  LeaseExchange,
  LeaseGiver,
  LeaseGrant,
  LeaseOpening,
  LeaseResource,
  LeaseTerms,
  SeenGateway,
} from "./types.ts";

export type { LeaseGiver } from "./types.ts";

export interface LeaseGiverDeps {
  readonly inTransaction: <T>(work: (trx: Transaction<DB>) => Promise<T>) => Promise<T>;
  /** The newest configuration's; null: no limit is set, undefined: there is no such key or project. */
  readonly limitOf: (resource: LeaseResource) => bigint | null | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly terms?: LeaseTerms;
}

type RecallListener = (gateway: string, resources: readonly LeaseResource[]) => void;

/** Enough that nobody notices; recorded all the same, since a limit may be set any time. */
const NO_LIMIT = 10n ** 37n;
const UNKNOWN: LeaseVerdict = { amount: 0n, mode: "exhausted", recall: false, retryAfterMs: 1_000 };
/** Not decided: gateways of before a crash, or one that has the whole to itself, have to be heard first. */
const UNDECIDED: LeaseVerdict = { amount: 0n, mode: "scarce", recall: false, retryAfterMs: 100 };
/** How often limits that were lowered below what is in hand are looked for. */
const LOWERED_EVERY_MS = 5_000;

const fenced = (message: string) => new Fault("uplink.fenced", { message });
const isSpend = ({ resource }: { readonly resource: LeaseResource }) =>
  kindOf(resource) === "spend";
const isNotSpend = (of: { readonly resource: LeaseResource }) => !isSpend(of);

class Giver implements LeaseGiver {
  readonly #deps: LeaseGiverDeps;
  readonly #terms: LeaseTerms;
  readonly #state: State;
  readonly #scarce = new ScarceList();
  readonly #listeners: RecallListener[] = [];
  /** One thing at a time for each gateway: an exchange of an old session must not commit after the new one began. */
  readonly #queues = new Map<string, Promise<unknown>>();
  #loweredAtMs: number;
  #closed = false;

  constructor(deps: LeaseGiverDeps, terms: LeaseTerms, state: State) {
    this.#deps = deps;
    this.#terms = terms;
    this.#state = state;
    this.#loweredAtMs = deps.clock.monotonicMs();
  }

  open(opening: LeaseOpening): Promise<void> {
    return this.#inTurn(opening.gateway, () => this.#open(opening));
  }

  exchange(exchange: LeaseExchange): Promise<LeaseAnswer> {
    return this.#inTurn(exchange.gateway, () => this.#exchange(exchange));
  }

  leave(gateway: string, epoch: number): Promise<void> {
    return this.#inTurn(gateway, async () => {
      const nowMs = this.#passTime();
      if (this.#state.roster.session(gateway, epoch) === undefined) return;
      this.#state.roster.leave(gateway, nowMs);
      this.#state.holdings.end(gateway, nowMs);
    });
  }

  onRecall(listener: RecallListener): void {
    this.#listeners.push(listener);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.allSettled(this.#queues.values());
    const { clock, inTransaction } = this.#deps;
    this.#passTime();
    const handover = toHandover(this.#state, clock);
    if (handover) await inTransaction((trx) => openBudgetStore(trx).putHandover(handover));
  }

  async #inTurn<T>(gateway: string, work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new Fault("service.draining", { message: "control is stopping" });
    const before = this.#queues.get(gateway);
    const own = before ? before.then(work, work) : work();
    this.#queues.set(gateway, own);
    try {
      return await own;
    } finally {
      if (this.#queues.get(gateway) === own) this.#queues.delete(gateway);
    }
  }

  /** Whatever time alone changes, before anything is decided. */
  #passTime(): number {
    const nowMs = this.#deps.clock.monotonicMs();
    const { roster, holdings } = this.#state;
    for (const gateway of roster.loseSilent(nowMs)) this.#deps.log.warn("lease.lost", { gateway });
    for (const gateway of roster.lapse(nowMs)) holdings.drop(gateway);
    return nowMs;
  }

  async #open({ gateway, epoch, resumes, recoveredUpTo }: LeaseOpening): Promise<void> {
    if (resumes === null) {
      const { inTransaction } = this.#deps;
      await inTransaction((trx) => openBudgetStore(trx).endLife(gateway, recoveredUpTo));
    }
    const nowMs = this.#passTime();
    const { roster, holdings } = this.#state;
    if (roster.open(gateway, epoch, resumes, nowMs) === undefined)
      throw fenced("a newer session of this gateway has begun");
    if (resumes === null) holdings.end(gateway, nowMs);
  }

  async #exchange(exchange: LeaseExchange): Promise<LeaseAnswer> {
    const nowMs = this.#passTime();
    const session = this.#state.roster.session(exchange.gateway, exchange.epoch);
    if (session === undefined) throw fenced("this session is over");
    if (exchange.sequence !== session.sequence + 1)
      throw fenced(`exchange ${exchange.sequence} does not follow ${session.sequence}`);
    session.sequence = exchange.sequence;
    session.aliveAtMs = session.answeredAtMs;
    const spend = await this.#exchangeSpend(session, exchange);
    if (this.#state.roster.session(session.gateway, session.epoch) !== session)
      throw fenced("this session is over");
    session.answeredAtMs = nowMs;
    return this.#answer(session, exchange, spend);
  }

  /** All that is not money: at once, so that nothing comes between looking and taking. */
  #answer(session: Session, exchange: LeaseExchange, spend: readonly LeaseVerdict[]): LeaseAnswer {
    const nowMs = this.#passTime();
    const { roster, holdings } = this.#state;
    const { gateway } = session;
    if (!session.declared) {
      holdings.drop(gateway);
      for (const { resource, amount } of exchange.declares.filter(isNotSpend))
        holdings.add(resource, gateway, amount, nowMs);
    }
    roster.hear(session, exchange.sharePpm);
    for (const { resource, amount } of exchange.gives.filter(isNotSpend))
      holdings.giveBack(resource, gateway, amount);
    this.#recallLowered(nowMs);
    const recalls = new Set<LeaseResource>();
    const spends = spend.values();
    const grants = exchange.takes.map((ask): LeaseGrant => {
      const verdict = isSpend(ask)
        ? (spends.next().value ?? UNKNOWN)
        : this.#judge(session, ask, nowMs);
      if (verdict.recall) recalls.add(ask.resource);
      return this.#toGrant(session, ask, verdict, nowMs);
    });
    const others = [...roster.gateways()].filter((other) => other !== gateway);
    if (recalls.size > 0) this.#recall(others, [...recalls]);
    return { grants, sharePpm: roster.share(session, nowMs) };
  }

  #toGrant(
    { gateway }: Session,
    { resource }: LeaseAsk,
    { amount, mode, retryAfterMs }: LeaseVerdict,
    nowMs: number,
  ): LeaseGrant {
    const kind = kindOf(resource);
    if (kind !== "spend") this.#state.holdings.add(resource, gateway, amount, nowMs);
    const termMs = kind === "spend" ? 0 : this.#terms.windowTermMs;
    return { resource, amount, termMs, mode, retryAfterMs };
  }

  #judge(session: Session, ask: LeaseAsk, nowMs: number): LeaseVerdict {
    const { roster, holdings } = this.#state;
    const { resource, need } = ask;
    const kind = kindOf(resource) === "window" ? "window" : "permits";
    const limit = this.#deps.limitOf(resource);
    if (limit === undefined) return UNKNOWN;
    if (roster.isFrozen(kind, nowMs) || roster.isAside(session.gateway, kind, nowMs))
      return UNDECIDED;
    const room = limit ?? NO_LIMIT;
    const others = [...roster.gateways()].filter((gateway) => gateway !== session.gateway);
    const verdict = this.#weigh(ask, nowMs, {
      free: room - holdings.held(resource, nowMs),
      elsewhere: holdings.heldBy(resource, others),
    });
    if (verdict.mode !== "exhausted") return verdict;
    const retryAfterMs =
      kind === "window" ? holdings.freeInMs(resource, room, need, nowMs) : UNKNOWN.retryAfterMs;
    return { ...verdict, retryAfterMs };
  }

  #weigh(
    { resource, need, want }: LeaseAsk,
    nowMs: number,
    balance: { readonly free: bigint; readonly elsewhere: bigint },
  ): LeaseVerdict {
    const verdict = judgeLease({
      kind: kindOf(resource),
      ...balance,
      need,
      want,
      gateways: this.#state.roster.count(),
      wasScarce: this.#scarce.has(resource),
      sinceRecallMs: this.#scarce.sinceRecallMs(resource, nowMs),
    });
    if (verdict.mode === "ample") this.#scarce.delete(resource);
    else this.#scarce.add(resource, nowMs);
    if (verdict.recall) this.#scarce.recalled(resource, nowMs);
    return verdict;
  }

  async #exchangeSpend(
    session: Session,
    exchange: LeaseExchange,
  ): Promise<readonly LeaseVerdict[]> {
    const { gateway, epoch } = session;
    const takes = exchange.takes.filter(isSpend);
    const gives = exchange.gives.filter(isSpend);
    const declares = session.declared ? undefined : exchange.declares.filter(isSpend);
    // A new process holds no money: nothing to put right.
    const isTouched =
      takes.length + gives.length > 0 ||
      (declares !== undefined && (declares.length > 0 || session.life !== session.epoch));
    if (!isTouched) return [];
    const judge = (ask: LeaseAsk, account: SpendAccount) => this.#judgeSpend(ask, account);
    try {
      return await this.#deps.inTransaction((trx) =>
        exchangeSpend(trx, { gateway, epoch, declares, gives, takes }, judge),
      );
    } catch (error) {
      // Whether it was committed is not known: the gateway's declaration in its next session says it.
      this.#state.roster.lose(session);
      const message = "spend budgets cannot be read or written";
      throw new Fault("database.unavailable", { message, cause: error });
    }
  }

  #judgeSpend(ask: LeaseAsk, { bound, elsewhere }: SpendAccount): LeaseVerdict {
    const limit = this.#deps.limitOf(ask.resource);
    if (limit === undefined) return UNKNOWN;
    const nowMs = this.#deps.clock.monotonicMs();
    const verdict = this.#weigh(ask, nowMs, { free: (limit ?? NO_LIMIT) - bound, elsewhere });
    this.#state.bounds.set(ask.resource, bound + verdict.amount, nowMs);
    return verdict.mode === "exhausted" ? { ...verdict, retryAfterMs: 1_000 } : verdict;
  }

  /** Limits that were lowered below what is in hand: from here on hold by hold, until what is in hand fits. */
  #recallLowered(nowMs: number): void {
    if (nowMs - this.#loweredAtMs < LOWERED_EVERY_MS) return;
    this.#loweredAtMs = nowMs;
    const { holdings, bounds, roster } = this.#state;
    this.#scarce.prune(nowMs);
    bounds.prune(nowMs);
    const isOver = (resource: LeaseResource, bound: bigint) =>
      bound > (this.#deps.limitOf(resource) ?? NO_LIMIT);
    const lowered = [
      ...[...holdings.resources()].filter((each) => isOver(each, holdings.held(each, nowMs))),
      ...[...bounds].flatMap(([each, bound]) => (isOver(each, bound) ? [each] : [])),
    ];
    if (lowered.length === 0) return;
    for (const resource of lowered) this.#scarce.add(resource, nowMs);
    this.#recall(roster.gateways(), lowered);
  }

  #recall(gateways: Iterable<string>, resources: readonly LeaseResource[]): void {
    for (const gateway of gateways)
      for (const listener of this.#listeners) listener(gateway, resources);
  }
}

/** How far back `seen` has to look. */
export const SEEN_WITHIN_MS = lapseMs(LEASE_TERMS);

/** `seen`: gateways of before control's start; they matter only when it did not stop properly. */
export async function openLeaseGiver(
  deps: LeaseGiverDeps,
  seen: readonly SeenGateway[],
): Promise<LeaseGiver> {
  const terms = deps.terms ?? LEASE_TERMS;
  const handover = await deps.inTransaction((trx) => openBudgetStore(trx).takeHandover());
  return new Giver(deps, terms, fromHandover(handover, seen, terms, deps.clock));
}
