// Which gateways may be using amounts right now: live sessions, lost ones, and those of before control's own start.
// Invariant: the parts of every limit that gateways may use by themselves never sum to more than the whole; a gateway counts as
// alive only from what it has confirmed, so it is given up before it can believe itself cut off.

import { PPM, WINDOW_MS } from "./rules.ts";
import type { LeaseTerms, SeenGateway } from "./types.ts";

export interface Session {
  readonly gateway: string;
  readonly epoch: number;
  /** The epoch of this process's first session: names the process. */
  readonly life: number;
  /** Control's own time of the newest answer that the gateway is known to have. */
  aliveAtMs: number;
  /** The part it has confirmed, and the part in an answer that may be under way. */
  confirmedPpm: number;
  toldPpm: number;
  declared: boolean;
}

interface Absent {
  readonly ppm: number;
  readonly untilMs: number;
}

export interface Roster {
  /** A session begins; the gateway's earlier one ends. */
  open(gateway: string, epoch: number, resumes: boolean, nowMs: number): Session;
  session(gateway: string, epoch: number): Session | undefined;
  /** The session's first exchange arrived: from here on it answers for its process. */
  declare(session: Session, sharePpm: number): void;
  /** What to tell this gateway of its part; remembered. */
  share(session: Session, nowMs: number): number;
  /** Ends sessions that were silent for too long; answers their gateways. */
  loseSilent(nowMs: number): readonly string[];
  leave(gateway: string): void;
  count(): number;
  /** Millionths of every limit that gateways out of reach may be using. */
  asidePpm(nowMs: number): number;
  /** Until then nothing may be granted, because of what gateways did before control started. */
  frozenUntilMs(kind: "window" | "permits"): number;
}

interface Expected {
  /** Its grants of before may count until then. */
  readonly windowUntilMs: number;
  /** It may still come back with a part of the limits until then. */
  readonly shareUntilMs: number;
  left: boolean;
  opened: boolean;
}

class GatewayRoster implements Roster {
  readonly #terms: LeaseTerms;
  readonly #sessions = new Map<string, Session>();
  readonly #absent = new Map<string, Absent>();
  readonly #expected = new Map<string, Expected>();
  readonly #permitsUntilMs: number;

  constructor(terms: LeaseTerms, seen: readonly SeenGateway[], startMs: number) {
    this.#terms = terms;
    this.#permitsUntilMs = startMs + terms.lostMs;
    for (const { gateway, agoMs, left } of seen) {
      const seenAtMs = startMs - agoMs;
      const windowUntilMs = seenAtMs + terms.lostMs + terms.windowTermMs + WINDOW_MS;
      const shareUntilMs = seenAtMs + terms.shareMs;
      if (Math.max(windowUntilMs, shareUntilMs) > startMs)
        this.#expected.set(gateway, { windowUntilMs, shareUntilMs, left, opened: false });
    }
  }

  open(gateway: string, epoch: number, resumes: boolean, nowMs: number): Session {
    const before = this.#sessions.get(gateway);
    const life = resumes ? (before?.life ?? epoch) : epoch;
    if (before?.declared === true && resumes) this.#setAside(before);
    // A new process has no part, and its gateway's old one is dead.
    if (!resumes) this.#absent.delete(gateway);
    const expected = this.#expected.get(gateway);
    if (expected && !resumes) expected.opened = true;
    const session: Session = {
      gateway,
      epoch,
      life,
      aliveAtMs: nowMs,
      confirmedPpm: 0,
      toldPpm: 0,
      declared: false,
    };
    this.#sessions.set(gateway, session);
    return session;
  }

  #setAside(session: Session): void {
    this.#absent.set(session.gateway, {
      ppm: Math.max(session.confirmedPpm, session.toldPpm),
      untilMs: session.aliveAtMs + this.#terms.shareMs,
    });
  }

  session(gateway: string, epoch: number): Session | undefined {
    const session = this.#sessions.get(gateway);
    return session?.epoch === epoch ? session : undefined;
  }

  declare(session: Session, sharePpm: number): void {
    session.declared = true;
    session.confirmedPpm = sharePpm;
    session.toldPpm = sharePpm;
    this.#absent.delete(session.gateway);
    const expected = this.#expected.get(session.gateway);
    // A resumed process has told everything; of a new one's predecessor only the use in the window is still open.
    if (expected && !expected.opened) this.#expected.delete(session.gateway);
  }

  #unknownMayReturn(nowMs: number): boolean {
    for (const { opened, left, shareUntilMs } of this.#expected.values())
      if (!opened && !left && shareUntilMs > nowMs) return true;
    return false;
  }

  #absentPpm(nowMs: number): number {
    let sum = 0;
    for (const [gateway, { ppm, untilMs }] of this.#absent) {
      if (untilMs > nowMs) sum += ppm;
      else this.#absent.delete(gateway);
    }
    return sum;
  }

  share(session: Session, nowMs: number): number {
    const { confirmedPpm } = session;
    const absent = this.#absentPpm(nowMs);
    const known =
      this.#sessions.size +
      [...this.#absent.keys()].filter((gateway) => !this.#sessions.has(gateway)).length;
    const target = Math.floor(PPM / Math.max(1, known));
    let others = absent;
    for (const other of this.#sessions.values())
      if (other !== session) others += Math.max(other.confirmedPpm, other.toldPpm);
    const room = this.#unknownMayReturn(nowMs) ? confirmedPpm : Math.max(0, PPM - others);
    session.toldPpm = Math.min(target, room);
    return session.toldPpm;
  }

  loseSilent(nowMs: number): readonly string[] {
    const lost: string[] = [];
    for (const session of this.#sessions.values()) {
      if (nowMs - session.aliveAtMs <= this.#terms.lostMs) continue;
      if (session.declared) this.#setAside(session);
      this.#sessions.delete(session.gateway);
      lost.push(session.gateway);
    }
    return lost;
  }

  leave(gateway: string): void {
    this.#sessions.delete(gateway);
    this.#absent.delete(gateway);
    const expected = this.#expected.get(gateway);
    if (expected) expected.left = true;
  }

  count(): number {
    return this.#sessions.size;
  }

  asidePpm(nowMs: number): number {
    const absent = this.#absentPpm(nowMs);
    if (!this.#unknownMayReturn(nowMs)) return absent;
    let known = absent;
    for (const { confirmedPpm, toldPpm } of this.#sessions.values())
      known += Math.max(confirmedPpm, toldPpm);
    // Whoever is missing has at most what no known gateway has.
    return absent + Math.max(0, PPM - known);
  }

  frozenUntilMs(kind: "window" | "permits"): number {
    let until = 0;
    for (const expected of this.#expected.values()) {
      if (kind === "window") until = Math.max(until, expected.windowUntilMs);
      else if (!expected.opened && !expected.left) until = this.#permitsUntilMs;
    }
    return until;
  }
}

/** `seen`: gateways that an earlier control knew, read once at control's start. */
export function openRoster(
  terms: LeaseTerms,
  seen: readonly SeenGateway[],
  startMs: number,
): Roster {
  return new GatewayRoster(terms, seen, startMs);
}
