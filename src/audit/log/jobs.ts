// The sequencer's loop, run by the worker: numbers what gathers in the outbox, soon after it appears.

import { errorText, type Log } from "../../kit/log.ts";
import type { AuditService } from "./service.ts";

const EVERY_MS = 1_000;

export interface Sequencer {
  close(): Promise<void>;
}

export function openSequencer(service: Pick<AuditService, "sequence">, log: Log): Sequencer {
  let running = Promise.resolve();
  const look = async () => {
    try {
      while ((await service.sequence()) > 0);
    } catch (error) {
      log.error("audit.sequence_failed", { reason: errorText(error) });
    }
  };
  const timer = setInterval(() => void (running = running.then(look)), EVERY_MS);
  return {
    close: async () => {
      clearInterval(timer);
      await running;
    },
  };
}
