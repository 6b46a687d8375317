// From what control knows of leases to the note that it leaves when it stops properly, and back. Pure.
// Invariant: durations go on running while control is stopped; a wall clock that went back only makes them longer.

import type { Clock } from "../../kit/clock.ts";
import { Holdings } from "./holdings.state.ts";
import { Roster } from "./roster.state.ts";
import { Bounds } from "./scarce.state.ts";
import type { Handover, LeaseTerms, SeenGateway } from "./types.ts";

export interface State {
  readonly roster: Roster;
  readonly holdings: Holdings;
  readonly bounds: Bounds;
}

/** Undefined while not everyone is known: then the next start must wait as after a crash. */
export function toHandover({ roster, holdings }: State, clock: Clock): Handover | undefined {
  const nowMs = clock.monotonicMs();
  const absences = roster.toAbsences(nowMs);
  if (absences === undefined) return undefined;
  return {
    writtenAtMs: clock.nowMs(),
    absences: [...absences].map(([gateway, { ppm, untilMs }]) => ({
      gateway,
      ppm,
      forMs: untilMs - nowMs,
    })),
    held: [...holdings.rows()],
    tails: [...holdings.tails(nowMs)].map(({ resource, amount, untilMs }) => ({
      resource,
      amount,
      forMs: untilMs - nowMs,
    })),
  };
}

export function fromHandover(
  handover: Handover | undefined,
  seen: readonly SeenGateway[],
  terms: LeaseTerms,
  clock: Clock,
): State {
  const startMs = clock.monotonicMs();
  const holdings = new Holdings();
  const bounds = new Bounds();
  const absences = new Map<string, { ppm: number; untilMs: number }>();
  const past = { seen: handover ? [] : seen, absences, tailsUntilMs: startMs };
  if (handover) {
    const goneMs = Math.max(0, clock.nowMs() - handover.writtenAtMs);
    for (const { gateway, ppm, forMs } of handover.absences)
      absences.set(gateway, { ppm, untilMs: startMs + forMs - goneMs });
    for (const { gateway, resource, amount } of handover.held)
      holdings.add(resource, gateway, amount, startMs);
    for (const { resource, amount, forMs } of handover.tails) {
      const untilMs = startMs + forMs - goneMs;
      holdings.addTail(resource, amount, untilMs, startMs);
      past.tailsUntilMs = Math.max(past.tailsUntilMs, untilMs);
    }
  }
  return { roster: new Roster(terms, past, startMs), holdings, bounds };
}
