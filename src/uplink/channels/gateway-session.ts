// One session as the gateway holds it, and the tools that its channels share.
// Invariant: when the signal is aborted nothing of this session may be believed any more.

import type { Clock, Dice } from "../../kit/clock.ts";
import type { Log } from "../../kit/log.ts";
import type { UplinkClient } from "../client.ts";
import { isPassing } from "../client.ts";
import type { SessionResponse } from "../types.ts";

export interface GatewaySession extends SessionResponse {
  /** When its request went out, monotonic: control began the session no earlier. */
  readonly askedAtMs: number;
  readonly signal: AbortSignal;
  /** The next session begins with a declaration. */
  end(reason: string): void;
}

export interface ChannelDeps {
  readonly client: UplinkClient;
  readonly clock: Clock;
  readonly dice: Pick<Dice, "next">;
  readonly log: Log;
}

export function beginSession(response: SessionResponse, askedAtMs: number): GatewaySession {
  const abort = new AbortController();
  const end = (reason: string) => abort.abort(reason);
  return { ...response, askedAtMs, signal: abort.signal, end };
}

/** Ends the session when control says that it is over; true when trying again in the same session makes sense. */
export function mayRetry(session: GatewaySession, error: unknown): boolean {
  if (session.signal.aborted) return false;
  if (isPassing(error)) return true;
  session.end(error instanceof Error ? error.message : "refused");
  return false;
}
