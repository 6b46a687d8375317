// Requests that began and have not settled: what a restart must settle as `interrupted`.
// Invariant: one entry per (request, attempt), made by its intent, gone with its settlement; the latest progress is kept.

import type { Fact, JournalRecord, Quantity } from "../../billing/metering/types.ts";

export interface OpenIntent {
  readonly fact: Fact;
  /** Where its intent lies, so that a checkpoint knows what deleting a segment would forget. */
  readonly sequence: number;
  readonly firstByteMs: number;
  readonly quantities: readonly Quantity[];
}

export interface OpenIntents {
  apply(record: JournalRecord, sequence: number): void;
  get(fact: Pick<Fact, "requestId" | "attempt">): OpenIntent | undefined;
  /** Those whose intents lie in segments up to and including `sequence`. */
  upTo(sequence: number): readonly OpenIntent[];
  all(): readonly OpenIntent[];
}

export function openIntents(): OpenIntents {
  const open = new Map<string, OpenIntent>();
  const keyOf = (requestId: string, attempt: number) => `${requestId}#${attempt}`;
  return {
    apply: (record, sequence) => {
      if (record.type === "progress") {
        const key = keyOf(record.requestId, record.attempt);
        const known = open.get(key);
        if (known)
          open.set(key, {
            ...known,
            firstByteMs: record.firstByteMs,
            quantities: record.quantities,
          });
        return;
      }
      const key = keyOf(record.fact.requestId, record.fact.attempt);
      if (record.type === "settle") open.delete(key);
      else
        open.set(key, {
          fact: record.fact,
          sequence,
          firstByteMs: record.fact.firstByteMs,
          quantities: record.fact.quantities,
        });
    },
    get: ({ requestId, attempt }) => open.get(keyOf(requestId, attempt)),
    upTo: (sequence) => [...open.values()].filter((intent) => intent.sequence <= sequence),
    all: () => [...open.values()],
  };
}

/** The settlement of an intent whose process died: what was relayed by its last progress, nothing more. */
export function toInterrupted(intent: OpenIntent, nowMs: number): JournalRecord {
  const { fact, firstByteMs, quantities } = intent;
  const durationMs = Math.max(0, Math.round(nowMs - fact.startedAtMs));
  return {
    type: "settle",
    fact: { ...fact, status: "interrupted", httpStatus: 0, firstByteMs, durationMs, quantities },
  };
}
