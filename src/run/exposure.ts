// Who can reach us: loopback by default; beyond it only with TLS of our own or behind a proxy that brings it. Pure.

import { isLoopback } from "../kit/loopback.ts";

export interface ExposureWish {
  readonly host: string;
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  readonly behindProxy: boolean;
}

export type Exposure = "loopback" | "tls" | "behind-proxy";

/** Throws an Error that says what to give instead. */
export function judgeExposure(wish: ExposureWish): Exposure {
  if ((wish.tlsCert === undefined) !== (wish.tlsKey === undefined)) {
    throw new Error("--tls-cert and --tls-key belong together: give both, or neither");
  }
  if (wish.tlsCert !== undefined) return "tls";
  if (wish.behindProxy) return "behind-proxy";
  if (isLoopback(wish.host)) return "loopback";
  throw new Error(
    `--host ${wish.host} would show keys and prompts to the network in clear: give --tls-cert FILE --tls-key FILE, or --behind-proxy when a proxy in front speaks TLS`,
  );
}
