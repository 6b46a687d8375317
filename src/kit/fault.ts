// The one catalogue of faults: every refusal the product can answer, with its HTTP status.
// Invariant: a code is stable once released; message texts may change, codes and statuses may not.

export const FAULTS = {
  // credentials and permissions
  "key.missing": 401,
  "key.malformed": 401,
  "key.unknown": 401,
  "key.revoked": 401,
  "key.expired": 401,
  "key.ambiguous": 400,
  "key.not_inference": 403,
  "key.not_admin": 403,
  "session.missing": 401,
  "session.expired": 401,
  "session.csrf": 403,
  "link.used": 410,
  "permission.denied": 403,
  // requests
  "request.invalid": 400,
  "request.json": 400,
  "request.json_depth": 400,
  "request.json_duplicate_key": 400,
  "request.json_prototype": 400,
  "request.too_large": 413,
  "request.timeout": 408,
  "request.cut": 400,
  "request.method": 405,
  "request.unsupported": 400,
  "route.not_found": 404,
  "upgrade.refused": 426,
  // models and routing
  "model.unknown": 404,
  "model.unpriced": 403,
  "model.no_deployment": 503,
  "model.context_exceeded": 400,
  // limits and money
  "limit.requests": 429,
  "limit.tokens": 429,
  "limit.streams": 429,
  "budget.exhausted": 402,
  "lease.unavailable": 503,
  // upstreams
  "upstream.unreachable": 502,
  "upstream.timeout": 504,
  "upstream.invalid": 502,
  "upstream.refused": 502,
  "upstream.too_large": 502,
  "upstream.cut": 502,
  "upstream.credential": 502,
  "upstream.forbidden_address": 400,
  "upstream.embedded": 409,
  // control plane
  "entity.not_found": 404,
  "entity.exists": 409,
  "entity.in_use": 409,
  "change.conflict": 409,
  "uplink.version": 426,
  "uplink.unauthorised": 401,
  "uplink.fenced": 409,
  "uplink.fork": 409,
  "uplink.gap": 409,
  "snapshot.too_old": 503,
  "snapshot.signature": 500,
  "database.unavailable": 503,
  "database.newer": 503,
  "artifact.digest": 502,
  "artifact.unavailable": 503,
  "service.draining": 503,
  "journal.full": 503,
  "engine.busy": 503,
  internal: 500,
} as const;

export type FaultCode = keyof typeof FAULTS;

/** What a fault may carry besides its code; `message` is shown to the caller, `cause` only logged. */
export interface FaultDetails {
  readonly message: string;
  /** JSON path of the offending field, e.g. `max_tokens` or `messages[0].role`. */
  readonly field?: string;
  /** What the reader can do about it. */
  readonly hint?: string;
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

/** Thrown in the control plane and turned into a response in one place (`http/respond.ts`). */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly status: number;
  readonly field: string | undefined;
  readonly hint: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: FaultCode, details: FaultDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "Fault";
    this.code = code;
    this.status = FAULTS[code];
    this.field = details.field;
    this.hint = details.hint;
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}

/** A refusal as a value, for the hot path where throwing costs too much. */
export interface Refusal extends FaultDetails {
  readonly ok: false;
  readonly code: FaultCode;
}

export function refuse(
  code: FaultCode,
  message: string,
  more: Partial<FaultDetails> = {},
): Refusal {
  return { ok: false, code, message, ...more };
}

export function isFault(error: unknown): error is Fault {
  return error instanceof Fault;
}
