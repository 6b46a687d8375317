// What counts as done, up and exposed. Pure: the events, the settings and the time come as arguments.

import { isLoopback } from "../../kit/loopback.ts";
import {
  CHECKLIST_IDS,
  type Checklist,
  type ChecklistEvents,
  type ChecklistId,
  type Exposure,
  type GatewayState,
} from "./types.ts";

/** A gateway's uplink beats every second or so; three missed beats are late, a minute without any is gone. */
const LATE_AFTER_MS = 5_000;
const GONE_AFTER_MS = 60_000;

export function judgeChecklist(events: ChecklistEvents): Checklist["items"] {
  const at: Record<ChecklistId, Date | null> = {
    "signed-in": events.signedInAt,
    "first-call": events.firstCallAt,
    "upstream-added": events.upstreamAddedAt,
    "key-made": events.keyMadeAt,
  };
  return CHECKLIST_IDS.map((id) => ({
    id,
    done: at[id] !== null,
    at: at[id]?.toISOString() ?? null,
  }));
}

export function judgeGateway(seenAtMs: number, nowMs: number): GatewayState {
  const silentMs = nowMs - seenAtMs;
  if (silentMs > GONE_AFTER_MS) return "gone";
  return silentMs > LATE_AFTER_MS ? "late" : "up";
}

/** Start-up refuses an open address without TLS or a proxy, so these three are all there is. */
export function judgeExposure(setting: {
  readonly host: string;
  readonly tls: boolean;
  readonly behindProxy: boolean;
}): { kind: Exposure; detail: string } {
  if (setting.tls) return { kind: "tls", detail: `Open on ${setting.host}, with TLS.` };
  if (setting.behindProxy)
    return {
      kind: "behind-proxy",
      detail: `Open on ${setting.host} without TLS: the proxy before it must end TLS.`,
    };
  return {
    kind: "loopback",
    detail: isLoopback(setting.host)
      ? "Reachable from this machine only."
      : `Bound to ${setting.host}.`,
  };
}
