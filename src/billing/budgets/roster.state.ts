// Which gateways may be using amounts right now: live sessions, absent ones, and those of before a crash of control.
// Invariants: a gateway counts as alive only from what it has confirmed, so it is given up before it can believe itself cut off;
// the part of the limits that a gateway may use by itself is all or nothing, and only a gateway that is alone ever has it.

import { PPM, WINDOW_MS, lapseMs } from "./rules.ts";
import type { LeaseTerms, SeenGateway } from "./types.ts";

export interface Session {
  readonly gateway: string;
  readonly epoch: number;
  /** The epoch of this process's first session that control knows: tells processes apart. */
  readonly life: number;
  readonly openedAtMs: number;
  sequence: number;
  /** Control's own time of the newest answer that the gateway is known to have. */
  aliveAtMs: number;
  answeredAtMs: number;
  /** The part it has confirmed, and the part in an answer that may be under way. */
  confirmedPpm: number;
  toldPpm: number;
  /** Its first exchange was heard: from here on it answers for its process. */
  declared: boolean;
}

/** Out of reach; what it holds, and its part, stay its own until then. */
export interface Absence {
  readonly ppm: number;
  readonly untilMs: number;
}

/** Control crashed and has not heard of it since: it may hold anything. */
interface Unknown {
  readonly untilMs: number;
  /** False: its process has ended, only its use of the last minute is open. */
  readonly alive: boolean;
}

/** What was before control's start. */
export interface Past {
  /** After a crash: the gateways that might still use something. */
  readonly seen: readonly SeenGateway[];
  /** After a proper stop: who was there then. */
  readonly absences: ReadonlyMap<string, Absence>;
  /** … and until when processes that had ended by then count. */
  readonly tailsUntilMs: number;
}

/** Alone for so long before it gets the whole, so that gateways which start together never wait for each other's part. */
const ALONE_MS = 5_000;

const partOf = ({ confirmedPpm, toldPpm }: Session) => Math.max(confirmedPpm, toldPpm);

export class Roster {
  readonly #terms: LeaseTerms;
  readonly #sessions = new Map<string, Session>();
  readonly #absences = new Map<string, Absence>();
  readonly #unknown = new Map<string, Unknown>();
  /** Parts that processes may have used which have ended since: they count in windows only. */
  #echoes: Absence[] = [];
  /** Before this, amounts of ended processes may count. */
  #quietAtMs: number;

  constructor(terms: LeaseTerms, { seen, absences, tailsUntilMs }: Past, startMs: number) {
    this.#terms = terms;
    for (const { gateway, agoMs, left, predecessorAgoMs } of seen) {
      const untilMs = startMs - agoMs + (left ? WINDOW_MS : lapseMs(terms));
      this.#unknown.set(gateway, { untilMs, alive: !left });
      // Only the control that crashed knew what that one had used.
      const overMs = startMs - (predecessorAgoMs ?? Infinity) + WINDOW_MS;
      this.#unknown.set(`${gateway}, before`, { untilMs: overMs, alive: false });
    }
    for (const [gateway, absence] of absences) this.#absences.set(gateway, absence);
    const isFresh = seen.length + absences.size === 0;
    this.#quietAtMs = isFresh ? tailsUntilMs : Math.max(tailsUntilMs, startMs + WINDOW_MS);
  }

  /** A session begins; undefined: a newer one, or one of a newer process, has begun before. */
  open(gateway: string, epoch: number, resumes: number | null, nowMs: number): Session | undefined {
    const before = this.#sessions.get(gateway);
    if (before && (epoch <= before.epoch || (resumes !== null && resumes < before.life)))
      return undefined;
    if (resumes === null) this.#endProcess(gateway, nowMs);
    else if (before?.declared === true) this.#setAside(before);
    const session: Session = {
      gateway,
      epoch,
      life: resumes === null ? epoch : (before?.life ?? resumes),
      openedAtMs: nowMs,
      sequence: 0,
      aliveAtMs: nowMs,
      answeredAtMs: nowMs,
      confirmedPpm: 0,
      toldPpm: 0,
      declared: false,
    };
    this.#sessions.set(gateway, session);
    return session;
  }

  #setAside(session: Session): void {
    const untilMs = session.aliveAtMs + lapseMs(this.#terms);
    this.#absences.set(session.gateway, { ppm: partOf(session), untilMs });
  }

  #endProcess(gateway: string, nowMs: number): void {
    const session = this.#sessions.get(gateway);
    const absence = this.#absences.get(gateway);
    const unknown = this.#unknown.get(gateway);
    const ppm = Math.max(absence?.ppm ?? 0, session ? partOf(session) : 0);
    if (session ?? absence ?? unknown) this.#quietAtMs = nowMs + WINDOW_MS;
    if (ppm > 0) this.#echoes.push({ ppm, untilMs: nowMs + WINDOW_MS });
    if (unknown) {
      const untilMs = Math.min(unknown.untilMs, nowMs + WINDOW_MS);
      this.#unknown.set(gateway, { untilMs, alive: false });
    }
    this.#sessions.delete(gateway);
    this.#absences.delete(gateway);
  }

  session(gateway: string, epoch: number): Session | undefined {
    const session = this.#sessions.get(gateway);
    return session?.epoch === epoch ? session : undefined;
  }

  gateways(): Iterable<string> {
    return this.#sessions.keys();
  }

  count(): number {
    return this.#sessions.size;
  }

  /** The session's next exchange arrived; it has the answer before, and says which part it knows to be its own. */
  hear(session: Session, sharePpm: number): void {
    session.confirmedPpm = sharePpm;
    session.toldPpm = sharePpm;
    if (session.declared) return;
    session.declared = true;
    this.#absences.delete(session.gateway);
    // A resumed process has told everything; of a new one's predecessor the last minute is still open.
    if (this.#unknown.get(session.gateway)?.alive === true) this.#unknown.delete(session.gateway);
  }

  /** What to tell this gateway of its part; remembered. */
  share(session: Session, nowMs: number): number {
    const alone =
      this.#sessions.size === 1 &&
      this.#absences.size === 0 &&
      !this.isFrozen("window", nowMs) &&
      nowMs >= this.#quietAtMs &&
      nowMs - session.openedAtMs >= ALONE_MS;
    session.toldPpm = alone ? PPM : 0;
    return session.toldPpm;
  }

  /** Ends sessions that were silent for too long; answers their gateways. */
  loseSilent(nowMs: number): readonly string[] {
    const lost = [...this.#sessions.values()].filter(
      ({ aliveAtMs }) => nowMs - aliveAtMs > this.#terms.lostMs,
    );
    for (const session of lost) this.lose(session);
    return lost.map(({ gateway }) => gateway);
  }

  /** The session is over, its process perhaps not. */
  lose(session: Session): void {
    if (session.declared) this.#setAside(session);
    this.#sessions.delete(session.gateway);
  }

  /** The gateways whose absence has lasted so long that nothing of theirs counts any more. */
  lapse(nowMs: number): readonly string[] {
    const over = [...this.#absences].filter(([, { untilMs }]) => untilMs <= nowMs);
    for (const [gateway] of over) this.#absences.delete(gateway);
    this.#echoes = this.#echoes.filter(({ untilMs }) => untilMs > nowMs);
    for (const [gateway, { untilMs }] of this.#unknown)
      if (untilMs <= nowMs) this.#unknown.delete(gateway);
    return over.map(([gateway]) => gateway);
  }

  leave(gateway: string, nowMs: number): void {
    this.#endProcess(gateway, nowMs);
  }

  /** Whether any gateway but this one may be using the whole by itself. */
  isAside(gateway: string, kind: "window" | "permits", nowMs: number): boolean {
    const others = [
      ...[...this.#sessions.values()].filter((other) => other.gateway !== gateway).map(partOf),
      ...[...this.#absences].filter(([other]) => other !== gateway).map(([, { ppm }]) => ppm),
    ];
    if (others.some((ppm) => ppm > 0)) return true;
    return kind === "window" && this.#echoes.some(({ untilMs }) => untilMs > nowMs);
  }

  /** Whether nothing may be granted, because of what gateways may have done before control started. */
  isFrozen(kind: "window" | "permits", nowMs: number): boolean {
    return [...this.#unknown.values()].some(
      ({ untilMs, alive }) => untilMs > nowMs && (alive || kind === "window"),
    );
  }

  /** Everyone who may use anything, as if control were gone from now on; undefined while not everyone is known. */
  toAbsences(nowMs: number): ReadonlyMap<string, Absence> | undefined {
    if (this.isFrozen("window", nowMs) || this.#echoes.some(({ untilMs }) => untilMs > nowMs))
      return undefined;
    const all = new Map(this.#absences);
    for (const session of this.#sessions.values()) {
      const untilMs = session.aliveAtMs + lapseMs(this.#terms);
      if (session.declared) all.set(session.gateway, { ppm: partOf(session), untilMs });
    }
    return all;
  }
}
