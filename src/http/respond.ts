// The one place where a fault becomes a response, and where every response gets its security headers.
// Invariant: a caller sees codes and messages that were written for people, never an exception's own text.

import { isConnectionError } from "../db/errors.ts";
import { Fault, isFault } from "../kit/fault.ts";
import { errorText, type Log } from "../kit/log.ts";

const SECURITY: Readonly<Record<string, string>> = {
  // Styles may be set by scripts of ours (charts size themselves); scripts come from files only.
  "content-security-policy":
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  // Files of the console say otherwise themselves.
  "cache-control": "no-store",
};
const WITH_TLS = { ...SECURITY, "strict-transport-security": "max-age=31536000" };

export function secured(response: Response, requestId: string, withTls: boolean): Response {
  for (const [name, value] of Object.entries(withTls ? WITH_TLS : SECURITY)) {
    if (!response.headers.has(name)) response.headers.set(name, value);
  }
  // A relayed answer keeps the id under which the gateway, and so the ledger, knows it.
  if (!response.headers.has("x-request-id")) response.headers.set("x-request-id", requestId);
  return response;
}

export function jsonResponse(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const text = status === 204 ? null : JSON.stringify(body);
  return new Response(text, {
    status,
    headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  });
}

/** What anything thrown means to the caller; what was not meant for callers is logged instead. */
function toFault(error: unknown, requestId: string, log: Log): Fault {
  if (isFault(error)) return error;
  if (isConnectionError(error)) {
    log.warn("http.database_unavailable", { requestId, reason: errorText(error) });
    return new Fault("database.unavailable", {
      message: "the database cannot be reached at the moment",
      retryAfterSeconds: 2,
    });
  }
  log.error("http.internal", {
    requestId,
    reason: errorText(error),
    stack: error instanceof Error ? error.stack : undefined,
  });
  return new Fault("internal", {
    message: "something went wrong inside; the log has it under this request's id",
  });
}

export function faultResponse(
  error: unknown,
  requestId: string,
  log: Log,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const fault = toFault(error, requestId, log);
  const retry = fault.retryAfterSeconds;
  return jsonResponse(
    fault.status,
    {
      error: {
        code: fault.code,
        message: fault.message,
        field: fault.field,
        hint: fault.hint,
        requestId,
      },
    },
    { ...headers, ...(retry === undefined ? {} : { "retry-after": String(Math.ceil(retry)) }) },
  );
}
