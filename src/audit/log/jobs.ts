// The sequencer's loop, run by the worker: numbers what gathers in the outbox, soon after it appears.

import { errorText, type Log } from "../../kit/log.ts";
import { openLoop, type Loop } from "../../kit/loop.ts";
import type { AuditService } from "./service.ts";

const EVERY_MS = 1_000;

export function openSequencer(service: Pick<AuditService, "sequence">, log: Log): Loop {
  const look = async () => {
    while ((await service.sequence()) > 0);
  };
  return openLoop(look, EVERY_MS, (error) =>
    log.error("audit.sequence_failed", { reason: errorText(error) }),
  );
}
