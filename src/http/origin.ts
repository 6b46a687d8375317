// Who may talk to us from a browser: our own pages only. Pure judgements over headers.
// Invariant: a page of another site can neither reach a loopback server under a name of its own (DNS rebinding) nor send changes.

import { Fault } from "../kit/fault.ts";

export const LOOPBACK_NAMES: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

export const isUnsafe = (method: string) => !["GET", "HEAD", "OPTIONS"].includes(method);

/** `allowed` undefined: behind a proxy or with TLS, where the certificate or the proxy vouches for the name. */
export function judgeHost(host: string | null, allowed: readonly string[] | undefined): void {
  const name = (host ?? "").replace(/:\d+$/, "").toLowerCase();
  if (!allowed || allowed.includes(name)) return;
  throw new Fault("permission.denied", {
    message: `this server does not answer to the name ${name.slice(0, 100) || "(none)"}`,
    hint: `use http://localhost`,
  });
}

export function judgeOrigin(request: Request): void {
  if (!isUnsafe(request.method)) return;
  const origin = request.headers.get("origin");
  const site = request.headers.get("sec-fetch-site");
  const same =
    origin === null || URL.parse(origin)?.host === request.headers.get("host")?.toLowerCase();
  if (same && (site === null || site === "same-origin" || site === "none")) return;
  throw new Fault("session.csrf", { message: "changes are taken only from our own pages" });
}
