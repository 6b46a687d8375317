// A lease source over a giver in the same process: one gateway's sessions, as the uplink keeps them over HTTP.
// Invariants: one exchange at a time; what a broken session left open is forgotten, because the declaration that begins the next
// one tells the state without it; an answer of an earlier session reaches nobody.

import type { Clock } from "../../kit/clock.ts";
import type {
  LeaseAnswer,
  LeaseAsk,
  LeaseDeclaration,
  LeaseGive,
  LeaseGiver,
  LeaseGrant,
  LeaseResource,
  LeaseSource,
  LeaseTerms,
  Timers,
} from "./types.ts";

export interface InProcessDeps {
  readonly giver: Pick<LeaseGiver, "open" | "exchange" | "leave" | "onRecall">;
  readonly gateway: string;
  /** A higher one each time, whoever asks. */
  readonly nextEpoch: () => Promise<number> | number;
  readonly recoveredUpTo: number;
  readonly terms: LeaseTerms;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly timers: Timers;
}

interface Take {
  readonly asks: readonly LeaseAsk[];
  readonly resolve: (grants: readonly LeaseGrant[]) => void;
  readonly reject: (error: unknown) => void;
}

interface Session {
  readonly epoch: number;
  sequence: number;
}

const RETRY_FIRST_MS = 100;
const RETRY_MAX_MS = 1_000;
const ASKS_MAX = 1_000;

class InProcessSource implements LeaseSource {
  readonly #deps: InProcessDeps;
  #session: Session | undefined;
  #epoch: number | null = null;
  #takes: Take[] = [];
  #gives = new Map<LeaseResource, bigint>();
  #declare: () => readonly LeaseDeclaration[] = () => [];
  #recalls: ((resources: readonly LeaseResource[]) => void)[] = [];
  #sharePpm = 0;
  /** Of the newest answered exchange, and when the one before it was sent: so much the giver surely knows. */
  #answeredAtMs = -Infinity;
  #sentAtMs = -Infinity;
  #previousSentAtMs = -Infinity;
  #running: Promise<void> | undefined;
  #failures = 0;
  #closed = false;
  #cancelTimer = () => {};

  constructor(deps: InProcessDeps) {
    this.#deps = deps;
    deps.giver.onRecall((gateway, resources) => {
      if (gateway === deps.gateway && !this.#closed)
        for (const listener of this.#recalls) listener(resources);
    });
    this.#wakeIn(0);
  }

  get connected(): boolean {
    const silentMs = this.#deps.clock.monotonicMs() - this.#previousSentAtMs;
    return this.#session !== undefined && silentMs < this.#deps.terms.lostMs / 2;
  }

  offlinePpm(): number {
    const { lostMs, shareMs } = this.#deps.terms;
    const nowMs = this.#deps.clock.monotonicMs();
    const isAside = nowMs - this.#answeredAtMs > lostMs && nowMs - this.#sentAtMs < shareMs * 0.95;
    return isAside ? this.#sharePpm : 0;
  }

  take(asks: readonly LeaseAsk[]): Promise<readonly LeaseGrant[]> {
    if (this.#closed) return Promise.reject(new Error("the lease source is closed"));
    const { promise, resolve, reject } = Promise.withResolvers<readonly LeaseGrant[]>();
    this.#takes.push({ asks, resolve, reject });
    this.#wake();
    return promise;
  }

  give(gives: readonly LeaseGive[]): void {
    for (const { resource, amount } of gives)
      this.#gives.set(resource, (this.#gives.get(resource) ?? 0n) + amount);
    this.#wake();
  }

  onRecall(listener: (resources: readonly LeaseResource[]) => void): void {
    this.#recalls.push(listener);
  }

  onSession(declare: () => readonly LeaseDeclaration[]): void {
    this.#declare = declare;
  }

  /** Says goodbye, with what was given last; the holder must not be used any more. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer();
    await this.#running;
    const session = this.#session;
    try {
      if (session) {
        if (this.#gives.size > 0) await this.#exchangeOnce(session);
        await this.#deps.giver.leave(this.#deps.gateway, session.epoch);
      }
    } finally {
      this.#break(new Error("the lease source is closed"));
    }
  }

  #wakeIn(ms: number): void {
    this.#cancelTimer();
    this.#cancelTimer = this.#deps.timers.after(ms, () => this.#start());
  }

  /** In the next microtask, so that calls of one moment travel together; not while waiting to try again. */
  #wake(): void {
    if (this.#session && !this.#running) queueMicrotask(() => this.#start());
  }

  #start(): void {
    if (this.#running || this.#closed) return;
    this.#cancelTimer();
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      if (this.#closed) return;
      const isDue = this.#session !== undefined && this.#takes.length + this.#gives.size > 0;
      this.#wakeIn(isDue ? 0 : this.#pauseMs());
    });
  }

  async #run(): Promise<void> {
    try {
      this.#session ??= await this.#inTime(this.#openSession());
      await this.#exchangeOnce(this.#session);
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#break(error);
    }
  }

  #pauseMs(): number {
    return this.#session
      ? this.#deps.terms.lostMs / 6
      : Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** (this.#failures - 1));
  }

  async #openSession(): Promise<Session> {
    const { giver, gateway, nextEpoch, recoveredUpTo } = this.#deps;
    const epoch = await nextEpoch();
    const resumes = this.#epoch;
    await giver.open({ gateway, epoch, resumes, recoveredUpTo });
    this.#epoch = Math.max(epoch, this.#epoch ?? 0);
    return { epoch, sequence: 0 };
  }

  #nextTakes(): Take[] {
    let asks = 0;
    const count = this.#takes.findIndex((take) => (asks += take.asks.length) > ASKS_MAX);
    return this.#takes.splice(0, count < 0 ? this.#takes.length : Math.max(1, count));
  }

  async #exchangeOnce(session: Session): Promise<void> {
    session.sequence += 1;
    const { giver, gateway, clock } = this.#deps;
    const isFirst = session.sequence === 1;
    const declares = isFirst ? this.#declare() : [];
    // What was given before is not in the declaration any more.
    const gives = isFirst
      ? []
      : [...this.#gives].map(([resource, amount]) => ({ resource, amount }));
    this.#gives.clear();
    const takes = this.#nextTakes();
    const sentAtMs = clock.monotonicMs();
    const { epoch, sequence } = session;
    const asks = takes.flatMap((take) => take.asks);
    const exchange = { gateway, epoch, sequence, sharePpm: this.#sharePpm };
    try {
      const answer = await this.#inTime(
        giver.exchange({ ...exchange, declares, takes: asks, gives }),
      );
      this.#hear(answer, sentAtMs);
      let at = 0;
      for (const take of takes) take.resolve(answer.grants.slice(at, (at += take.asks.length)));
    } catch (error) {
      for (const take of takes) take.reject(error);
      throw error;
    }
  }

  #hear({ sharePpm }: LeaseAnswer, sentAtMs: number): void {
    this.#sharePpm = sharePpm;
    this.#answeredAtMs = this.#deps.clock.monotonicMs();
    this.#previousSentAtMs = this.#sentAtMs === -Infinity ? sentAtMs : this.#sentAtMs;
    this.#sentAtMs = sentAtMs;
  }

  #break(error: unknown): void {
    this.#session = undefined;
    for (const take of this.#takes.splice(0)) take.reject(error);
  }

  /** An answer that takes longer is as good as none. */
  #inTime<T>(work: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const cancel = this.#deps.timers.after(this.#deps.terms.lostMs / 3, () =>
      reject(new Error("the lease giver does not answer")),
    );
    work.then(resolve, reject).finally(cancel);
    return promise;
  }
}

export function openInProcessSource(deps: InProcessDeps): LeaseSource & { close(): Promise<void> } {
  return new InProcessSource(deps);
}
