// The console's only door to control: the SDK's client with the session's CSRF token, and the questions that pages ask.
// Invariant: nothing else in the console fetches; a refusal always becomes an ApiFault with code, field and hint.

import { queryOptions } from "@tanstack/react-query";
import {
  createClient,
  type ListRequestsQuery,
  type PriceFile,
  type SessionInput,
} from "../sdk/client.gen.ts";
import { Failure, failureOf, openTransport, type CallOptions } from "../sdk/transport.ts";
import type * as Api from "./api.types.ts";

let csrf = "";
/** Control serves these pages itself, so paths are enough. */
const connection = { url: "", csrf: () => csrf };
const client = createClient(connection);
const transport = openTransport(connection);

export const ApiFault = Failure;
export type ApiFault = Failure;
export const faultOf = failureOf;

interface Call extends CallOptions {
  readonly body?: unknown;
}

/** The answer as it is, for streams; throws only when control cannot be reached. */
export function send(method: string, path: string, call: Call = {}): Promise<Response> {
  return transport.send({ method, path: `/api/v1${path}`, ...call });
}

async function opened(asked: Promise<Api.Session>): Promise<Api.Session> {
  const session = await asked;
  csrf = session.csrf;
  return session;
}

export const api = {
  signIn: (credential: SessionInput) => opened(client.createSession(credential)),
  signOut: () => client.removeSession(),
  createKey: (body: Api.KeyCreate) => client.createKey(body),
  revokeKey: (key: string) => client.revokeKey(key),
  createProject: (body: Api.ProjectCreate) => client.createProject(body),
  changeProject: (project: string, body: Api.ProjectChange) => client.changeProject(project, body),
  addUpstream: (body: Api.UpstreamCreate) => client.createUpstream(body),
  changeUpstream: (upstream: string, body: { enabled: boolean }) =>
    client.changeUpstream(upstream, body),
  testUpstream: (upstream: string) => client.testUpstream(upstream),
  removeUpstream: (upstream: string) => client.removeUpstream(upstream),
  pullModel: (name: string) => client.createModelPull({ name }),
  setPrice: (body: Api.PriceCreate) => client.createPrice(body),
  // A file that somebody chose may be anything: control judges it and names the wrong field.
  importPrices: (file: unknown) => client.importPrices(file as PriceFile),
};

/** The path is the key, so that a change can say what it touches. */
const read = <T>(
  path: string,
  ask: (options: CallOptions) => Promise<T>,
  query: Readonly<Record<string, unknown>> = {},
) => queryOptions({ queryKey: [path, query], queryFn: ({ signal }) => ask({ signal }) });

export type RequestFilter = Omit<ListRequestsQuery, "limit" | "cursor">;

const REQUESTS_SHOWN = 1_000;

export const queries = {
  session: () =>
    queryOptions({
      queryKey: ["/session"],
      queryFn: () => opened(client.getSession()),
      staleTime: 300_000,
    }),
  overview: (minutes: number) =>
    read("/overview", (options) => client.getOverview({ minutes }, options), { minutes }),
  usage: (from: string, to: string, groupBy: Api.UsageGroup, timeZone?: string) => {
    const query = { from, to, groupBy, timeZone };
    return read("/usage", (options) => client.getUsage(query, options), query);
  },
  requests: (filter: RequestFilter) => {
    const query = { limit: REQUESTS_SHOWN, ...filter };
    return read("/requests", (options) => client.listRequests(query, options), query);
  },
  request: (requestId: string) =>
    read(`/requests/${requestId}`, (options) => client.getRequest(requestId, options)),
  keys: () => read("/keys", (options) => client.listKeys({}, options)),
  projects: () => read("/projects", client.listProjects),
  upstreams: () => read("/upstreams", client.listUpstreams),
  zones: () => read("/zones", client.listZones),
  models: () => read("/models", client.listModels),
  pulls: () => read("/models/pulls", client.listModelPulls),
  prices: () => read("/prices", (options) => client.listPrices({}, options)),
  checklist: () => read("/checklist", client.getChecklist),
  system: () => read("/system", client.getSystem),
  audit: () => read("/audit", (options) => client.getAudit({ limit: 50 }, options)),
};
