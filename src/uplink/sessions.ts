// The live sessions as control sees them: one a gateway, the newest; their streams, and the lease exchange that each is at.
// Invariants: a superseded epoch gets nothing more; an exchange reaches the giver once, however often its answer was lost.

import type { LeaseAnswer, LeaseResource } from "../billing/budgets/types.ts";
import { Fault } from "../kit/fault.ts";
import type { DownStream } from "./down-stream.ts";
import { mergeRecalls } from "./outbox.state.ts";
import type { DownMessage, LeaseRequest } from "./types.ts";

const fenced = (message: string) =>
  new Fault("uplink.fenced", { message, hint: "open a new session" });

/** Numbered exchanges: a repeated one is answered as before, while the answer can still be believed. */
export class Exchanges {
  readonly #ask: (request: LeaseRequest) => Promise<LeaseAnswer>;
  readonly #believedMs: number;
  #sequence = 0;
  #askedAtMs = 0;
  #answer: Promise<LeaseAnswer> | undefined;

  constructor(ask: (request: LeaseRequest) => Promise<LeaseAnswer>, believedMs: number) {
    this.#ask = ask;
    this.#believedMs = believedMs;
  }

  /** Throws `uplink.fenced` when the number does not follow. */
  answer(request: LeaseRequest, nowMs: number): Promise<LeaseAnswer> {
    const known = request.sequence === this.#sequence ? this.#answer : undefined;
    if (known && nowMs - this.#askedAtMs <= this.#believedMs) return known;
    if (request.sequence !== this.#sequence + 1)
      throw fenced(`exchange ${request.sequence} does not follow ${this.#sequence}`);
    this.#sequence = request.sequence;
    this.#askedAtMs = nowMs;
    this.#answer = this.#ask(request);
    return this.#answer;
  }
}

export interface Session {
  readonly gateway: string;
  readonly epoch: number;
  readonly cell: string;
  readonly exchanges: Exchanges;
  stream: DownStream | undefined;
  /** Called back while no stream was open. */
  recalls: LeaseResource[];
  heardAtMs: number;
}

export class Sessions {
  readonly #live = new Map<string, Session>();

  of = (gateway: string) => this.#live.get(gateway);

  /** The session that this epoch names; throws `uplink.fenced`. */
  demand(gateway: string, epoch: string | null, nowMs: number): Session {
    const session = this.#live.get(gateway);
    if (!session || String(session.epoch) !== epoch)
      throw fenced(`epoch ${epoch?.slice(0, 20) ?? "(none)"} has no session here, or no longer`);
    session.heardAtMs = nowMs;
    return session;
  }

  begin(session: Session): void {
    const before = this.#live.get(session.gateway);
    this.#live.set(session.gateway, session);
    if (before?.stream) this.detach(before, session.heardAtMs);
  }

  end(session: Session, nowMs: number): void {
    if (this.#live.get(session.gateway) === session) this.#live.delete(session.gateway);
    this.detach(session, nowMs);
  }

  attach(session: Session, stream: DownStream, nowMs: number): void {
    session.stream?.close();
    session.stream = stream;
    if (session.recalls.length > 0)
      stream.put({ type: "recall", resources: session.recalls.splice(0) }, nowMs);
    this.#tellPeers(session.cell, nowMs);
  }

  /** `only`: nothing happens when the session has another stream by now. */
  detach(session: Session, nowMs: number, only = session.stream): void {
    if (!only || session.stream !== only) return;
    session.stream = undefined;
    only.close();
    this.#tellPeers(session.cell, nowMs);
  }

  all = () => [...this.#live.values()];

  peersOf = ({ gateway, cell }: Session) =>
    this.all().filter((each) => each.gateway !== gateway && each.cell === cell && each.stream);

  recall(gateway: string, resources: readonly LeaseResource[], nowMs: number): void {
    const session = this.#live.get(gateway);
    if (session?.stream) session.stream.put({ type: "recall", resources: [...resources] }, nowMs);
    else if (session) session.recalls = mergeRecalls(session.recalls, resources);
  }

  broadcast(message: DownMessage, nowMs: number): void {
    for (const { stream } of this.#live.values()) stream?.put(message, nowMs);
  }

  #tellPeers(cell: string, nowMs: number): void {
    const listening = this.all().filter((each) => each.cell === cell && each.stream);
    for (const { stream } of listening)
      stream?.put({ type: "peers", count: listening.length - 1 }, nowMs);
  }
}
