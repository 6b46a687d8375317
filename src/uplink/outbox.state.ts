// What waits to go down one gateway's stream: the newest of each thing, never a queue, so a slow reader costs no memory.
// Invariant: at most one manifest, one peer count, one load delta a peer and one line of recalls wait at any time.

import type { LeaseResource } from "../billing/budgets/types.ts";
import { toWire, type DownMessage } from "./types.ts";

export interface Outbox {
  put(message: DownMessage, nowMs: number): void;
  /** All that waits, as lines; '' when nothing does. */
  take(): string;
  /** Since when something waits; undefined: nothing does. */
  waitingSinceMs(): number | undefined;
}

/** The giver asks again for what is dropped here. */
const RECALLS_MAX = 10_000;

const slotOf = (message: DownMessage) =>
  message.type === "feed" ? `feed ${message.delta.gateway}` : message.type;

export function mergeRecalls(
  waiting: readonly LeaseResource[],
  more: readonly LeaseResource[],
): LeaseResource[] {
  return [...new Set([...waiting, ...more])].slice(0, RECALLS_MAX);
}

function merge(waiting: DownMessage | undefined, message: DownMessage): DownMessage {
  if (message.type !== "recall" || waiting?.type !== "recall") return message;
  return { type: "recall", resources: mergeRecalls(waiting.resources, message.resources) };
}

export function openOutbox(): Outbox {
  const slots = new Map<string, DownMessage>();
  let sinceMs: number | undefined;
  return {
    put: (message, nowMs) => {
      const slot = slotOf(message);
      slots.set(slot, merge(slots.get(slot), message));
      sinceMs ??= nowMs;
    },
    take: () => {
      const lines = [...slots.values()].map((message) => `${toWire(message)}\n`).join("");
      slots.clear();
      sinceMs = undefined;
      return lines;
    },
    waitingSinceMs: () => sinceMs,
  };
}
