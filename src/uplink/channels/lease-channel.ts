// The lease source over HTTP: takes and gives of all requests ride on one numbered exchange at a time.
// Invariants: the next exchange goes out only when the last was answered; a take is refused only when its exchange can no longer
// count, because the session ended and the next one begins with a declaration of what is really held.

import type {
  LeaseAsk,
  LeaseDeclaration,
  LeaseGive,
  LeaseGrant,
  LeaseResource,
  LeaseSource,
} from "../../billing/budgets/types.ts";
import { Fault } from "../../kit/fault.ts";
import type { ChannelDeps, GatewaySession } from "./gateway-session.ts";
import { mayRetry } from "./gateway-session.ts";
import { openBell, pause, within } from "../../kit/pause.ts";
import { backoffMs } from "../rules.ts";
import { openStanding } from "./standing.state.ts";
import { GIVES_MAX, LeaseResponse, PATHS, TAKES_MAX, toWire } from "../types.ts";

interface Waiting {
  readonly asks: readonly LeaseAsk[];
  readonly resolve: (grants: readonly LeaseGrant[]) => void;
  readonly reject: (reason: Error) => void;
}

export interface LeaseChannel extends LeaseSource {
  /** Exchanges until the session ends; whatever waits then is refused. */
  run(session: GatewaySession): Promise<void>;
  recalled(resources: readonly LeaseResource[]): void;
  /** Resolves when everything given back was answered for, or `signal` is aborted. */
  flushed(signal: AbortSignal): Promise<void>;
}

/** One try of an exchange; the same again finds the answer that was lost. */
const TRY_WITHIN_MS = 1_000;

const away = () =>
  new Fault("lease.unavailable", { message: "control cannot be asked for leases at the moment" });

class HttpLeases implements LeaseChannel {
  readonly #deps: ChannelDeps;
  readonly #standing = openStanding();
  readonly #due = openBell();
  readonly #answered = openBell();
  readonly #recallListeners: ((resources: readonly LeaseResource[]) => void)[] = [];
  #declare: () => readonly LeaseDeclaration[] = () => [];
  #session: GatewaySession | undefined;
  #takes: Waiting[] = [];
  #gives = new Map<LeaseResource, bigint>();
  #busy = false;

  constructor(deps: ChannelDeps) {
    this.#deps = deps;
  }

  #now = () => this.#deps.clock.monotonicMs();

  get connected(): boolean {
    return this.#session !== undefined && this.#standing.isConnected(this.#now());
  }

  offlinePpm = () => this.#standing.offlinePpm(this.#now());
  onSession = (declare: () => readonly LeaseDeclaration[]) => void (this.#declare = declare);
  onRecall = (listener: (resources: readonly LeaseResource[]) => void) =>
    void this.#recallListeners.push(listener);

  recalled(resources: readonly LeaseResource[]): void {
    for (const listener of this.#recallListeners) listener(resources);
  }

  take(asks: readonly LeaseAsk[]): Promise<readonly LeaseGrant[]> {
    if (asks.length > TAKES_MAX) return Promise.reject(new RangeError("too many asks in one take"));
    if (!this.connected) return Promise.reject(away());
    return new Promise((resolve, reject) => {
      this.#takes.push({ asks, resolve, reject });
      this.#due.ring();
    });
  }

  /** Without a session there is nobody to tell: the next declaration is net of it. */
  give(gives: readonly LeaseGive[]): void {
    if (!this.#session) return;
    for (const { resource, amount } of gives)
      this.#gives.set(resource, (this.#gives.get(resource) ?? 0n) + amount);
    this.#due.ring();
  }

  async flushed(signal: AbortSignal): Promise<void> {
    while (this.#session && !signal.aborted && (this.#busy || this.#gives.size > 0))
      await this.#answered.heard(signal);
  }

  async run(session: GatewaySession): Promise<void> {
    this.#session = session;
    this.#gives.clear();
    this.#standing.begin(session, this.#now());
    let declares = this.#declare();
    for (let sequence = 1; !session.signal.aborted; sequence += 1) {
      await this.#exchange(session, sequence, declares);
      declares = [];
      await this.#nextDue(session);
    }
    this.#session = undefined;
    this.#refuse(this.#takes.splice(0));
    this.#answered.ring();
  }

  /** At once when something waits; otherwise with the next beat, which tells control that we are alive. */
  async #nextDue({ signal, heartbeatMs }: GatewaySession): Promise<void> {
    if (this.#takes.length > 0 || this.#gives.size > 0) return;
    const abort = new AbortController();
    const any = AbortSignal.any([signal, abort.signal]);
    await Promise.race([this.#due.heard(any), pause(heartbeatMs, any)]);
    abort.abort();
  }

  #refuse(takes: readonly Waiting[]): void {
    for (const { reject } of takes) reject(away());
  }

  /** Whole takes, so many that their asks fit into one exchange. */
  #chooseTakes(): Waiting[] {
    let asks = 0;
    const fits = this.#takes.findIndex((each) => (asks += each.asks.length) > TAKES_MAX);
    return this.#takes.splice(0, fits < 0 ? this.#takes.length : fits);
  }

  #chooseGives(): LeaseGive[] {
    const chosen = [...this.#gives].slice(0, GIVES_MAX);
    for (const [resource] of chosen) this.#gives.delete(resource);
    return chosen.map(([resource, amount]) => ({ resource, amount }));
  }

  async #exchange(
    session: GatewaySession,
    sequence: number,
    declares: readonly LeaseDeclaration[],
  ): Promise<void> {
    // Callers of the same turn share the exchange.
    await Promise.resolve();
    const sentAtMs = this.#now();
    const takes = this.#chooseTakes();
    const asks = takes.flatMap((each) => each.asks);
    const sharePpm = this.#standing.sharePpm(sentAtMs);
    const gives = this.#chooseGives();
    this.#busy = true;
    const answer = await this.#ask(
      session,
      toWire({ sequence, sharePpm, declares, takes: asks, gives }),
      sentAtMs,
    );
    this.#busy = false;
    if (answer && answer.grants.length !== asks.length)
      session.end("an answer without a grant for each ask");
    if (!answer || session.signal.aborted) return this.#refuse(takes);
    this.#standing.answered(answer.sharePpm, sentAtMs, this.#now());
    let at = 0;
    for (const { asks: own, resolve } of takes)
      resolve(answer.grants.slice(at, (at += own.length)));
    this.#answered.ring();
  }

  /** The same bytes until they are answered; undefined when the session ended over it. */
  async #ask(session: GatewaySession, body: string, sentAtMs: number) {
    const { client, dice, log } = this.#deps;
    const { epoch, signal, lostMs } = session;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await client.json(LeaseResponse, {
          method: "POST",
          path: PATHS.leases,
          epoch,
          body,
          signal: within(TRY_WITHIN_MS, signal),
        });
      } catch (error) {
        log.debug("uplink.exchange_failed", { attempt, reason: String(error) });
        if (!mayRetry(session, error)) return undefined;
        // Control may give us up soon after; what it granted must not be believed then.
        if (this.#now() - sentAtMs > lostMs / 4) {
          session.end("lease exchanges are not answered");
          return undefined;
        }
        await pause(backoffMs(attempt, dice.next()), signal);
      }
    }
  }
}

export function openLeaseChannel(deps: ChannelDeps): LeaseChannel {
  return new HttpLeases(deps);
}
