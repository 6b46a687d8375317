// The console's only door to control: typed calls, one fault type, the CSRF token of the session.
// Invariant: nothing else in the console fetches; a refusal always becomes an ApiFault with code, field and hint.

import { queryOptions } from "@tanstack/react-query";
import type * as Api from "./api.types.ts";

const BASE = "/api/v1";
const UNSAFE = new Set(["POST", "PATCH", "PUT", "DELETE"]);
let csrf = "";

export class ApiFault extends Error {
  readonly code: string;
  readonly status: number;
  readonly field: string | undefined;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;

  constructor(status: number, error: FaultBody) {
    super(error.message ?? `control answered ${status}`);
    this.name = "ApiFault";
    this.code = error.code ?? `http.${status}`;
    this.status = status;
    this.field = error.field || undefined;
    this.hint = error.hint || undefined;
    this.requestId = error.requestId || undefined;
  }
}

interface FaultBody {
  readonly code?: string;
  readonly message?: string;
  readonly field?: string;
  readonly hint?: string;
  readonly requestId?: string;
}

type Query = Readonly<Record<string, string | number | undefined>>;
interface Call {
  readonly query?: Query;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

export async function faultOf(response: Response): Promise<ApiFault> {
  const text = await response.text();
  try {
    const body: { error?: FaultBody } = JSON.parse(text);
    return new ApiFault(response.status, body.error ?? {});
  } catch {
    return new ApiFault(response.status, { message: text.slice(0, 200) });
  }
}

/** The answer as it is; throws only when control cannot be reached. */
export async function send(method: string, path: string, call: Call = {}): Promise<Response> {
  const query = Object.entries(call.query ?? {}).filter(([, value]) => value !== undefined);
  const suffix =
    query.length === 0
      ? ""
      : `?${new URLSearchParams(query.map(([name, value]) => [name, String(value)]))}`;
  const headers: Record<string, string> = {};
  if (UNSAFE.has(method) && csrf !== "") headers["x-intertie-csrf"] = csrf;
  if (call.body !== undefined) headers["content-type"] = "application/json";
  try {
    return await fetch(`${BASE}${path}${suffix}`, {
      method,
      headers,
      ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
      ...(call.signal ? { signal: call.signal } : {}),
    });
  } catch (error) {
    if (call.signal?.aborted) throw error;
    throw new ApiFault(0, {
      code: "control.unreachable",
      message: "Control does not answer.",
      hint: "Is `intertie up` still running? The page tries again by itself.",
    });
  }
}

async function ask<T>(method: string, path: string, call?: Call): Promise<T> {
  const response = await send(method, path, call);
  if (!response.ok) throw await faultOf(response);
  if (response.status === 204) return undefined as T;
  // Control validates what it answers against the schemas that these types describe.
  return (await response.json()) as T;
}

async function openSession(method: "GET" | "POST", body?: { key: string } | { link: string }) {
  const session = await ask<Api.Session>(method, method === "GET" ? "/session" : "/sessions", {
    body,
  });
  csrf = session.csrf;
  return session;
}

const id = encodeURIComponent;

export const api = {
  signIn: (credential: { key: string } | { link: string }) => openSession("POST", credential),
  signOut: () => ask<void>("DELETE", "/session"),
  createKey: (body: Api.KeyCreate) =>
    ask<{ key: Api.Key; token: string }>("POST", "/keys", { body }),
  revokeKey: (key: string) => ask<void>("DELETE", `/keys/${id(key)}`),
  createProject: (body: { name: string }) => ask<Api.Project>("POST", "/projects", { body }),
  changeProject: (
    project: string,
    body: { limits?: Api.Limits; monthlySpendLimit?: string | null },
  ) => ask<Api.Project>("PATCH", `/projects/${id(project)}`, { body }),
  addUpstream: (body: Api.UpstreamCreate) => ask<Api.Upstream>("POST", "/upstreams", { body }),
  changeUpstream: (upstream: string, body: { enabled: boolean }) =>
    ask<Api.Upstream>("PATCH", `/upstreams/${id(upstream)}`, { body }),
  testUpstream: (upstream: string) =>
    ask<Api.UpstreamTest>("POST", `/upstreams/${id(upstream)}/test`),
  removeUpstream: (upstream: string) => ask<void>("DELETE", `/upstreams/${id(upstream)}`),
  pullModel: (name: string) => ask<Api.Pull>("POST", "/models/pulls", { body: { name } }),
  setPrice: (body: Api.PriceCreate) => ask<Api.Price>("POST", "/prices", { body }),
  importPrices: (body: unknown) =>
    ask<{ added: number; unchanged: number }>("POST", "/prices/import", { body }),
};

const read = <T>(path: string, query?: Query) =>
  queryOptions({
    queryKey: [path, query ?? {}],
    queryFn: ({ signal }) => ask<T>("GET", path, { signal, ...(query ? { query } : {}) }),
  });

export interface RequestFilter {
  readonly status?: string | undefined;
  readonly model?: string | undefined;
  readonly keyId?: string | undefined;
  readonly projectId?: string | undefined;
  readonly engineId?: string | undefined;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

export const queries = {
  session: () =>
    queryOptions({ queryKey: ["/session"], queryFn: () => openSession("GET"), staleTime: 300_000 }),
  overview: (minutes: number) => read<Api.Overview>("/overview", { minutes }),
  usage: (from: string, to: string, groupBy: Api.UsageGroup, timeZone?: string) =>
    read<Api.Usage>("/usage", { from, to, groupBy, timeZone }),
  requests: (filter: RequestFilter) =>
    read<Api.Page<Api.RequestRow>>("/requests", { limit: 1_000, ...filter }),
  request: (requestId: string) => read<Api.RequestDetail>(`/requests/${id(requestId)}`),
  keys: () => read<Api.Page<Api.Key>>("/keys"),
  projects: () => read<Api.Page<Api.Project>>("/projects"),
  upstreams: () => read<Api.Page<Api.Upstream>>("/upstreams"),
  zones: () => read<Api.Page<Api.Zone>>("/zones"),
  models: () => read<Api.Page<Api.Model>>("/models"),
  pulls: () => read<Api.Page<Api.Pull>>("/models/pulls"),
  prices: () => read<Api.Page<Api.Price>>("/prices"),
  checklist: () => read<Api.Checklist>("/checklist"),
  system: () => read<Api.SystemInfo>("/system"),
  audit: () => read<Api.Page<Api.AuditEntry>>("/audit", { limit: 50 }),
};
