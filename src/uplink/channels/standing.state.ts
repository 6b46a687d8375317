// Where this gateway stands with control: connected, or cut off and since when, and the part of the limits that is its own.
// Invariants: it uses its part only from when control has surely given it up (and so set the part aside), and not after control
// may have handed it on; in doubt it is neither connected nor offline.

export interface Standing {
  begin(
    session: { readonly askedAtMs: number; readonly lostMs: number; readonly shareMs: number },
    nowMs: number,
  ): void;
  /** `sentAtMs`: when the exchange that was answered went out first. */
  answered(sharePpm: number, sentAtMs: number, nowMs: number): void;
  /** False well before control gives this gateway up. */
  isConnected(nowMs: number): boolean;
  /** What may be said to be ours: 0 once it may have expired. */
  sharePpm(nowMs: number): number;
  offlinePpm(nowMs: number): number;
}

/** Two clocks never run equally fast; and control looks around only so often. */
const LATER = 1.1;
const EARLIER = 0.95;

export function openStanding(): Standing {
  let lostMs = 0;
  let shareMs = 0;
  let ownPpm = 0;
  /** Control counts this session as alive from here on, at the least: when what it confirmed last was asked. */
  let aliveFromMs = -Infinity;
  /** The same, of the session in which our part was last told. */
  let shareFromMs = -Infinity;
  /** Control cannot count us as alive from any later time. */
  let aliveToMs = -Infinity;
  /** When the newest exchange, or the session, was asked for: our next exchange confirms its answer. */
  let askedAtMs = -Infinity;
  const sharePpm = (nowMs: number) => (nowMs - shareFromMs < shareMs * EARLIER ? ownPpm : 0);
  return {
    begin: (session, nowMs) => {
      ({ lostMs, shareMs } = session);
      aliveFromMs = session.askedAtMs;
      askedAtMs = session.askedAtMs;
      aliveToMs = nowMs;
    },
    answered: (ppm, sentAtMs, nowMs) => {
      ownPpm = ppm;
      aliveFromMs = askedAtMs;
      shareFromMs = askedAtMs;
      askedAtMs = sentAtMs;
      aliveToMs = nowMs;
    },
    isConnected: (nowMs) => nowMs - aliveFromMs < lostMs / 2,
    sharePpm,
    offlinePpm: (nowMs) => (nowMs - aliveToMs > lostMs * LATER ? sharePpm(nowMs) : 0),
  };
}
