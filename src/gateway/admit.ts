// Step 1, admit: whose request is this? Pure over the snapshot; no I/O.
// Invariant: a token whose checksum is wrong is refused before any look-up, and HMACs are compared in constant time.

import { parseToken } from "../identity/keys/rules.ts";
import type { ParsedToken } from "../identity/keys/types.ts";
import { refuse, type Refusal } from "../kit/fault.ts";
import { equalTexts } from "../kit/secret.ts";
import type { SnapshotReader } from "../snapshot/types.ts";
import type { Caller } from "./types.ts";

const BEARER = /^bearer +/i;

const ambiguous = (): Refusal =>
  refuse(
    "key.ambiguous",
    "Two credentials were sent: send one, in the authorization header or in x-api-key.",
  );

/** The one credential that the caller sent: `authorization: Bearer`, `x-api-key` or `api-key`. */
function credentialOf(headers: Headers): { ok: true; text: string } | Refusal {
  const authorization = headers.get("authorization");
  const plain = headers.get("x-api-key");
  const azure = headers.get("api-key");
  const other = plain ?? azure;
  const several = plain !== null && azure !== null;
  if (several || (authorization !== null && other !== null)) return ambiguous();
  // A header that was sent twice comes joined by a comma, which no credential holds.
  if ((authorization ?? other)?.includes(",") === true) return ambiguous();
  if (other !== null) return { ok: true, text: other };
  if (authorization === null || !BEARER.test(authorization)) {
    return refuse("key.missing", "No API key was sent.", {
      hint: "Send it as `authorization: Bearer it_live_…`.",
    });
  }
  return { ok: true, text: authorization.replace(BEARER, "").trim() };
}

function parse(headers: Headers): { ok: true; parsed: ParsedToken } | Refusal {
  const credential = credentialOf(headers);
  if (!credential.ok) return credential;
  const parsed = parseToken(credential.text);
  if (parsed === undefined) {
    return refuse(
      "key.malformed",
      "This is not a whole Intertie API key: a character is wrong or missing.",
    );
  }
  if (parsed.kind === "admin") {
    return refuse(
      "key.not_inference",
      "Admin keys sign in to the console and the admin API; call models with a live or test key.",
    );
  }
  return { ok: true, parsed };
}

export function admit(
  snapshot: SnapshotReader,
  headers: Headers,
  tokenHmac: (token: string) => string,
  nowMs: number,
): ({ ok: true } & Caller) | Refusal {
  const credential = parse(headers);
  if (!credential.ok) return credential;
  const { parsed } = credential;
  const key = snapshot.keyById(parsed.id);
  if (key === undefined || !equalTexts(tokenHmac(parsed.token), key.hmac)) {
    return refuse("key.unknown", "This API key is not known here.");
  }
  if (key.revoked) return refuse("key.revoked", "This API key was revoked.");
  if (key.expiresAtMs !== null && key.expiresAtMs <= nowMs)
    return refuse("key.expired", "This API key has expired.");
  const tenant = snapshot.tenantOf(key.projectId);
  if (tenant === undefined)
    return refuse("key.unknown", "This API key's project is not known here.");
  return { ok: true, key, tenant };
}
