// Decisions of the uplink: who may speak, which version, where control may be, when to try again, what to ship next. Pure.

import { equalBytes, hmac } from "../kit/secret.ts";
import { Fault } from "../kit/fault.ts";
import { isLoopback } from "../kit/loopback.ts";
import type { SegmentHeader } from "../billing/metering/types.ts";

/** The credential of one gateway. `key`: derived from the master key for `uplink`. */
export function bearerOf(key: Uint8Array, gateway: string): string {
  return Buffer.from(hmac(key, gateway)).toString("base64url");
}

/** The gateway that the headers prove; throws `uplink.unauthorised`. */
export function judgeCredential(
  key: Uint8Array,
  authorization: string | null,
  gateway: string | null,
): string {
  const presented = Buffer.from(authorization ?? "");
  if (gateway !== null && /^gw_[0-9a-z]{26}$/.test(gateway)) {
    if (equalBytes(presented, Buffer.from(`Bearer ${bearerOf(key, gateway)}`))) return gateway;
  }
  throw new Fault("uplink.unauthorised", {
    message: "this is not the credential of that gateway",
    hint: "gateway and control must have the same master key",
  });
}

/** Throws `uplink.version`. */
export function judgeVersion(asked: number, served: readonly number[]): void {
  if (served.includes(asked)) return;
  throw new Fault("uplink.version", {
    message: `uplink version ${asked} is not served here; served are: ${served.join(", ")}`,
    field: "uplinkVersion",
    hint: "update whichever of gateway and control is older; control also serves the version before its own",
  });
}

/** Control's origin. The credential must not be readable on the way: plain http is for loopback only. */
export function judgeControlUrl(text: string): string {
  const url = URL.parse(text);
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:"))
    throw new Error(`the address of control is not an http(s) URL: ${text}`);
  if (url.protocol === "http:" && !isLoopback(url.hostname))
    throw new Error(
      `the address of control is neither loopback nor https: ${url.origin} (the uplink's credential would be readable on the way)`,
    );
  return url.origin;
}

const BACKOFF_FIRST_MS = 50;
/** Low, so that a control that came back is found within the 5 s that a revocation may take. */
const BACKOFF_MAX_MS = 2_000;

/** Before try number `attempt` (1, 2, …) after a failure; `dice` in [0, 1) spreads gateways that lost control together. */
export function backoffMs(attempt: number, dice: number): number {
  const full = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt - 1, 16));
  return full * (0.5 + dice / 2);
}

interface Pending {
  readonly header: Pick<SegmentHeader, "sequence">;
}

/**
 * In order; but of segments that control says it has, the newest: its digest vouches for all before it, so that lost
 * acknowledgements are made up for by one call, and nothing is deleted whose bytes control has not seen.
 */
export function chooseSegment<T extends Pending>(
  pending: readonly T[],
  committed: number,
): T | undefined {
  return pending.findLast(({ header }) => header.sequence <= committed) ?? pending[0];
}
