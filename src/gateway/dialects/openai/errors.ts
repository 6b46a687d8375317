// Refusals in the shape that OpenAI's clients show their users.
// Invariant: `code` is OpenAI's own word where the SDKs know one, else ours; our code is always in `x-intertie-fault`.

import { FAULTS, type FaultCode, type Refusal } from "../../../kit/fault.ts";

const OPENAI_CODES: Readonly<Partial<Record<FaultCode, string>>> = {
  "key.missing": "invalid_api_key",
  "key.malformed": "invalid_api_key",
  "key.unknown": "invalid_api_key",
  "key.revoked": "invalid_api_key",
  "key.expired": "invalid_api_key",
  "model.unknown": "model_not_found",
  "model.context_exceeded": "context_length_exceeded",
  "limit.requests": "rate_limit_exceeded",
  "limit.tokens": "rate_limit_exceeded",
  "limit.streams": "rate_limit_exceeded",
  "budget.exhausted": "budget_exceeded",
};

function typeOf(code: FaultCode, status: number): string {
  if (code === "limit.requests") return "requests";
  if (code === "limit.tokens") return "tokens";
  if (code === "budget.exhausted") return "insufficient_quota";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

export function errorBody(refusal: Refusal): string {
  const { code, message, field, hint } = refusal;
  const text = hint === undefined ? message : `${message} ${hint}`;
  return JSON.stringify({
    error: {
      message: text,
      type: typeOf(code, FAULTS[code]),
      param: field ?? null,
      code: OPENAI_CODES[code] ?? code,
    },
  });
}

export function errorResponse(refusal: Refusal, requestId: string): Response {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    "x-request-id": requestId,
    "x-intertie-fault": refusal.code,
  };
  if (refusal.retryAfterSeconds !== undefined)
    headers["retry-after"] = String(refusal.retryAfterSeconds);
  return new Response(errorBody(refusal), { status: FAULTS[refusal.code], headers });
}

/** The last event of a stream that broke: clients raise it as an error instead of taking the text for whole. */
export function errorEvent(refusal: Refusal): string {
  return `data: ${errorBody(refusal)}\n\n`;
}
