// Calls an engine that speaks the OpenAI dialect: one request, its head judged, its body left to the relay.
// Invariants: no redirects; credentials are unsealed in memory only and replace the caller's; an answer in the wrong shape
// is a failure of the upstream, never passed on as a success.

import { refuse, type FaultCode } from "../../../kit/fault.ts";
import { errorText } from "../../../kit/log.ts";
import type { SnapshotEngine } from "../../../snapshot/types.ts";
import type { UpstreamFailure } from "../../types.ts";
import type { Egress } from "../egress.ts";

export interface UpstreamCall {
  readonly engine: SnapshotEngine;
  /** After the base URL: `/chat/completions`. */
  readonly path: string;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly streamed: boolean;
  readonly requestId: string;
  readonly abort: AbortController;
}

export interface UpstreamAnswer {
  readonly ok: true;
  readonly response: Response;
  /** The upstream refused the request itself (4xx): its words go to the caller as they are. */
  readonly refusal: boolean;
}

export interface UpstreamClient {
  call(call: UpstreamCall): Promise<UpstreamAnswer | UpstreamFailure>;
}

export interface UpstreamOptions {
  readonly egress: Egress;
  /** Plain credential of a sealed one; throws when it does not open. */
  readonly unseal: (engineId: string, sealed: string) => string;
  /** From sending to the response's head. */
  readonly headTimeoutMs: number;
}

const RETRYABLE = new Set([408, 409, 425, 429, 500, 502, 503, 504, 529]);

function failure(
  call: UpstreamCall,
  code: FaultCode,
  message: string,
  retryable = true,
  retryAfterSeconds?: number,
): UpstreamFailure {
  const more = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  return { ...refuse(code, message, more), engineId: call.engine.id, retryable };
}

function retryAfterOf(response: Response): number | undefined {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(Math.ceil(seconds), 3600) : undefined;
}

/** Which statuses are the caller's, ours, or a reason to try elsewhere. */
function judge(call: UpstreamCall, response: Response): UpstreamAnswer | UpstreamFailure {
  const { status } = response;
  const name = call.engine.name;
  const drop = (result: UpstreamFailure) => {
    call.abort.abort();
    return result;
  };
  if (status >= 300 && status < 400)
    return drop(
      failure(call, "upstream.invalid", `The upstream ${name} answered with a redirect.`),
    );
  if (status === 401 || status === 403) {
    return drop(
      failure(
        call,
        "upstream.credential",
        `The upstream ${name} refused our credential (${status}).`,
      ),
    );
  }
  if (RETRYABLE.has(status)) {
    return drop(
      failure(
        call,
        "upstream.refused",
        `The upstream ${name} answered ${status}.`,
        true,
        retryAfterOf(response),
      ),
    );
  }
  if (status >= 400) return { ok: true, response, refusal: true };
  const type = response.headers.get("content-type") ?? "";
  const fits = call.streamed ? type.includes("text/event-stream") : type.includes("json");
  if (!fits)
    return drop(
      failure(
        call,
        "upstream.invalid",
        `The upstream ${name} answered ${status} with ${type === "" ? "no type" : type.slice(0, 80)}.`,
      ),
    );
  return { ok: true, response, refusal: false };
}

export function openUpstreamClient(options: UpstreamOptions): UpstreamClient {
  const credentials = new Map<string, string>();
  const credentialOf = (engine: SnapshotEngine): string | undefined => {
    if (engine.credentialSealed === null) return undefined;
    const cacheKey = `${engine.id} ${engine.credentialSealed}`;
    let plain = credentials.get(cacheKey);
    if (plain === undefined) {
      plain = options.unseal(engine.id, engine.credentialSealed);
      if (credentials.size > 10_000) credentials.clear();
      credentials.set(cacheKey, plain);
    }
    return plain;
  };

  return {
    call: async (call) => {
      const { engine, abort } = call;
      let timedOut = false;
      const timer = setTimeout(() => {
        timedOut = true;
        abort.abort();
      }, options.headTimeoutMs);
      try {
        const found = options.egress.destination(engine);
        const destination = found instanceof Promise ? await found : found;
        const credential = credentialOf(engine);
        const headers: Record<string, string> = {
          "content-type": "application/json",
          "accept-encoding": "identity",
          host: destination.host,
          "x-request-id": call.requestId,
        };
        if (credential !== undefined) headers["authorization"] = `Bearer ${credential}`;
        const response = await fetch(`${destination.origin}${destination.path}${call.path}`, {
          method: "POST",
          headers,
          body: call.body,
          redirect: "manual",
          signal: abort.signal,
          ...(destination.serverName === undefined
            ? {}
            : { tls: { serverName: destination.serverName } }),
        });
        return judge(call, response);
      } catch (error) {
        if (timedOut)
          return failure(
            call,
            "upstream.timeout",
            `The upstream ${engine.name} did not answer within ${options.headTimeoutMs} ms.`,
          );
        const why = `The upstream ${engine.name} could not be reached.`;
        return { ...failure(call, "upstream.unreachable", why), detail: errorText(error) };
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
