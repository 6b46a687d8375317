// How the SDK speaks to control: one request, one checked answer, every refusal a Failure. No dependencies; browsers and Bun alike.
// Invariant: a caller gets an answer that has the parts its type promises, or a Failure, or its own abort.

export interface Connection {
  /** Origin of control such as `http://localhost:4110`; empty in a page that control itself serves. */
  readonly url: string;
  readonly adminKey?: string;
  /** In a browser: the CSRF token of the cookie session, asked before each change. */
  readonly csrf?: () => string;
  /** For an answer to arrive whole; streams have no such bound. Default 30 s. */
  readonly timeoutMs?: number;
  /** Ends every request of this client. */
  readonly signal?: AbortSignal;
  /** How requests go out; default: the global fetch. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What control says about a refusal. */
export interface FailureBody {
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly field?: string | null | undefined;
  readonly hint?: string | null | undefined;
  readonly requestId?: string | null | undefined;
}

/** A refusal, or no usable answer at all (status 0: control was not reached). Decide by `code`. */
export class Failure extends Error {
  readonly status: number;
  readonly code: string;
  /** Path of what is wrong in the request, such as `limits.tokensPerMinute`. */
  readonly field: string | undefined;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;

  constructor(status: number, body: FailureBody, cause?: unknown) {
    super(body.message ?? `control answered ${status} without saying why`, { cause });
    this.name = "Failure";
    this.status = status;
    this.code = body.code ?? `http.${status}`;
    this.field = body.field || undefined;
    this.hint = body.hint || undefined;
    this.requestId = body.requestId || undefined;
  }
}

export type Query = object;

export interface Call extends CallOptions {
  readonly method: string;
  /** From the root: `/api/v1/keys`. */
  readonly path: string;
  readonly query?: Query | undefined;
  readonly body?: unknown;
}

/** What must be in an answer, and of which kind; `any` where a type allows several. */
export type Parts = Readonly<
  Record<string, "array" | "object" | "string" | "number" | "boolean" | "any">
>;

export interface Transport {
  /** The response as it is, whatever its status. */
  send(call: Call): Promise<Response>;
  /** The parsed answer. */
  ask<T>(call: Call, parts: Parts): Promise<T>;
  /** Done, nothing to answer. */
  tell(call: Call): Promise<void>;
  /** The response to read as it arrives. */
  stream(call: Call): Promise<Response>;
}

const TIMEOUT_MS = 30_000;
const isSafe = (method: string) => method === "GET" || method === "HEAD";

export async function failureOf(response: Response): Promise<Failure> {
  const requestId = response.headers.get("x-request-id");
  const text = await response.text().catch(() => "");
  const said = objectIn(objectIn(parsed(text))?.["error"]);
  return new Failure(response.status, { requestId, ...said });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function objectIn(value: unknown): Readonly<Record<string, unknown>> | undefined {
  // Any object may be read by name.
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)
    : undefined;
}

const kindOf = (value: unknown) => (Array.isArray(value) ? "array" : typeof value);

function missingPart(answer: unknown, parts: Parts): string | undefined {
  const has = objectIn(answer);
  const wrong = Object.entries(parts).find(([name, kind]) => {
    const value = has?.[name];
    return kind === "any" ? value === undefined : kindOf(value) !== kind;
  });
  return wrong?.[0];
}

function suffixOf(query: Query | undefined): string {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
  if (given.length === 0) return "";
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

function headersOf(connection: Connection, { method, body }: Call): Record<string, string> {
  const { adminKey, csrf } = connection;
  const token = isSafe(method) ? "" : (csrf?.() ?? "");
  return {
    accept: "application/json, text/event-stream",
    ...(body === undefined ? {} : { "content-type": "application/json" }),
    ...(adminKey === undefined ? {} : { authorization: `Bearer ${adminKey}` }),
    ...(token === "" ? {} : { "x-intertie-csrf": token }),
  };
}

/** Its own abort comes back to the caller as it is; everything else is a failure to reach control. */
function unreached(connection: Connection, call: Call, error: unknown): unknown {
  if (call.signal?.aborted || connection.signal?.aborted) return error;
  const { url } = connection;
  const late = error instanceof Error && error.name === "TimeoutError";
  return new Failure(
    0,
    {
      code: late ? "control.timeout" : "control.unreachable",
      message: url === "" ? "Control does not answer." : `control does not answer at ${url}`,
      hint: "Is `intertie up` still running? `intertie doctor` says what is wrong.",
    },
    error,
  );
}

async function send(connection: Connection, call: Call, timeoutMs?: number): Promise<Response> {
  const { url, signal, fetch: go = fetch } = connection;
  const signals = [
    ...(signal ? [signal] : []),
    ...(call.signal ? [call.signal] : []),
    ...(timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)]),
  ];
  try {
    return await go(`${url.replace(/\/+$/, "")}${call.path}${suffixOf(call.query)}`, {
      method: call.method,
      headers: headersOf(connection, call),
      signal: AbortSignal.any(signals),
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
    });
  } catch (error) {
    throw unreached(connection, call, error);
  }
}

async function accepted(connection: Connection, call: Call, timeoutMs?: number): Promise<Response> {
  const response = await send(connection, call, timeoutMs);
  if (!response.ok) throw await failureOf(response);
  return response;
}

async function ask(connection: Connection, call: Call, parts: Parts): Promise<unknown> {
  const response = await accepted(connection, call, connection.timeoutMs ?? TIMEOUT_MS);
  const text = await response.text().catch((error: unknown) => {
    throw unreached(connection, call, error);
  });
  const answer = parsed(text);
  const missing = answer === undefined ? "it is no JSON" : missingPart(answer, parts);
  if (missing === undefined) return answer;
  throw new Failure(response.status, {
    code: "control.answer",
    message: `control's answer to ${call.method} ${call.path} is not what this client knows: ${missing}`,
    hint: "are client and server of the same version? `intertie version`",
    requestId: response.headers.get("x-request-id"),
  });
}

export function openTransport(connection: Connection): Transport {
  return {
    send: (call) => send(connection, call),
    // The parts were checked, the rest is control's promise: it validates its answers against the very schemas of these types.
    ask: async <T>(call: Call, parts: Parts) => (await ask(connection, call, parts)) as T,
    tell: async (call) => {
      const response = await accepted(connection, call, connection.timeoutMs ?? TIMEOUT_MS);
      await response.body?.cancel();
    },
    stream: (call) => accepted(connection, call),
  };
}
