// Control's end of the uplink: sessions, the stream down, leases, segments, the load feed, sections of snapshots.
// Invariants: every call proves who it is of before anything is read; a superseded epoch is fenced; answers are idempotent.

import type { LeaseGiver, LeaseTerms } from "../billing/budgets/types.ts";
import { jsonResponse } from "../http/respond.ts";
import type { Handler } from "../http/server.ts";
import { parseJson, readBody } from "../http/json.ts";
import type { Clock } from "../kit/clock.ts";
import { Fault, isFault } from "../kit/fault.ts";
import type { Log } from "../kit/log.ts";
import type { SnapshotManifest } from "../snapshot/types.ts";
import { parseWith, readJson, readSegment } from "./body.ts";
import { openDownStream } from "./down-stream.ts";
import { judgeCredential, judgeVersion } from "./rules.ts";
import { Exchanges, Sessions, type Session } from "./sessions.ts";
import {
  EPOCH_HEADER,
  FeedDelta,
  GATEWAY_HEADER,
  LeaseRequest,
  SessionRequest,
  SessionVersion,
  toWire,
  UPLINK_VERSIONS_SERVED,
  type SegmentResponse,
  type SessionResponse,
} from "./types.ts";

/** The room system/gateways. */
export interface GatewayRegistry {
  open(
    identity: Pick<SessionRequest, "cell" | "address" | "productVersion"> & {
      readonly gateway: string;
    },
  ): Promise<number>;
  seen(gateway: string, epoch: number): Promise<void>;
  leave(gateway: string, epoch: number): Promise<void>;
}

/** The room billing/ledger. */
export interface SegmentReceiver {
  committed(gateway: string): Promise<Readonly<Record<string, number>>>;
  receive(gateway: string, bytes: Uint8Array): Promise<SegmentResponse>;
}

/** The snapshot's publisher. */
export interface SnapshotSource {
  latest(): SnapshotManifest | undefined;
  section(digest: string): Promise<Uint8Array | undefined>;
  onPublish(listener: (manifest: SnapshotManifest) => void): void;
}

export interface UplinkDeps {
  /** Derived from the master key for `uplink`. */
  readonly key: Uint8Array;
  readonly gateways: GatewayRegistry;
  readonly segments: SegmentReceiver;
  readonly leases: Pick<LeaseGiver, "open" | "exchange" | "leave" | "onRecall">;
  readonly snapshot: SnapshotSource;
  readonly terms: Pick<LeaseTerms, "lostMs" | "shareMs">;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly log: Log;
  readonly versions?: readonly number[];
}

export interface Uplink {
  /** For `HttpServerOptions.handlers`. */
  readonly handler: Handler;
  /** Lets go of all streams, so that the server can close. */
  close(): void;
}

interface Call {
  readonly request: Request;
  readonly gateway: string;
  readonly path: string;
}

type Run = (call: Call) => Promise<Response>;

const HEARTBEAT_MAX_MS = 1_000;
/** A gateway beats at least this often within the time after which it counts as lost. */
const BEATS_UNTIL_LOST = 10;
/** A stream that takes nothing for this long is cut; its gateway opens another. */
const STALL_MAX_MS = 10_000;
const SESSION_BYTES_MAX = 65_536;
const SESSION_WITHIN_MS = 5_000;

const done = () => new Response(null, { status: 204 });
const wired = (body: unknown) =>
  new Response(toWire(body), { headers: { "content-type": "application/json" } });

class ControlUplink implements Uplink {
  readonly #deps: UplinkDeps;
  readonly #sessions = new Sessions();
  readonly #heartbeatMs: number;
  readonly #beat: ReturnType<typeof setInterval>;
  readonly #runs: Readonly<Record<string, Run>>;
  /** A gateway's sessions begin one after the other, so that of two the one with the higher epoch stays. */
  readonly #opening = new Map<string, Promise<unknown>>();
  #closed = false;

  constructor(deps: UplinkDeps) {
    this.#deps = deps;
    this.#heartbeatMs = Math.min(HEARTBEAT_MAX_MS, deps.terms.lostMs / BEATS_UNTIL_LOST);
    this.#beat = setInterval(() => this.#tick(), this.#heartbeatMs);
    this.#beat.unref();
    this.#runs = {
      "POST session": (call) => this.#session(call),
      "GET stream": (call) => this.#stream(call),
      "POST leases": (call) => this.#leases(call),
      "POST segments": (call) => this.#segments(call),
      "POST feed": (call) => this.#feed(call),
      "POST leave": (call) => this.#leave(call),
    };
    deps.snapshot.onPublish((manifest) =>
      this.#sessions.broadcast({ type: "manifest", manifest }, this.#now()),
    );
    deps.leases.onRecall((gateway, resources) =>
      this.#sessions.recall(gateway, resources, this.#now()),
    );
  }

  #now = () => this.#deps.clock.monotonicMs();

  handler: Handler = (request) => {
    const { pathname } = new URL(request.url);
    return pathname.startsWith("/uplink/") ? this.#answer(request, pathname) : undefined;
  };

  close(): void {
    this.#closed = true;
    clearInterval(this.#beat);
    for (const session of this.#sessions.all()) this.#sessions.end(session, this.#now());
  }

  async #answer(request: Request, pathname: string): Promise<Response> {
    if (this.#closed)
      throw new Fault("service.draining", { message: "control is stopping", retryAfterSeconds: 1 });
    const { headers, method } = request;
    const gateway = judgeCredential(
      this.#deps.key,
      headers.get("authorization"),
      headers.get(GATEWAY_HEADER),
    );
    const [, , version = "", path = "", rest] = pathname.split("/");
    judgeVersion(Number(/^v(\d+)$/.exec(version)?.[1] ?? NaN), this.#versions());
    const call = { request, gateway, path: rest ?? "" };
    if (method === "GET" && path === "sections") return this.#section(call);
    const run = rest === undefined ? this.#runs[`${method} ${path}`] : undefined;
    if (run) return run(call);
    throw new Fault("route.not_found", {
      message: `there is nothing at ${method} ${pathname.slice(0, 200)}`,
    });
  }

  #versions = () => this.#deps.versions ?? UPLINK_VERSIONS_SERVED;

  #demand({ request, gateway }: Call): Session {
    return this.#sessions.demand(gateway, request.headers.get(EPOCH_HEADER), this.#now());
  }

  /** Its version is judged before the rest: another version's body need not look like ours. */
  async #session({ request, gateway }: Call): Promise<Response> {
    const body = parseJson(await readBody(request, SESSION_BYTES_MAX, SESSION_WITHIN_MS));
    judgeVersion(parseWith(SessionVersion, body, "body").uplinkVersion, this.#versions());
    const asked = parseWith(SessionRequest, body, "body");
    const before = this.#opening.get(gateway) ?? Promise.resolve();
    const opened = before.then(() => this.#open(gateway, asked));
    const settled = opened.catch(() => undefined);
    this.#opening.set(gateway, settled);
    await settled;
    if (this.#opening.get(gateway) === settled) this.#opening.delete(gateway);
    return jsonResponse(200, await opened);
  }

  async #open(gateway: string, asked: SessionRequest): Promise<SessionResponse> {
    const { gateways, segments, leases, terms, log } = this.#deps;
    const { cell, address, productVersion, resumes } = asked;
    const epoch = await gateways.open({ gateway, cell, address, productVersion });
    const committed = await segments.committed(gateway);
    // A new process may have forgotten segments that are here, but not yet posted.
    const received = resumes === null ? Math.max(0, ...Object.values(committed)) : 0;
    const recoveredUpTo = Math.max(asked.recoveredUpTo, received);
    await leases.open({ gateway, epoch, resumes, recoveredUpTo });
    const ask = (request: LeaseRequest) => leases.exchange({ gateway, epoch, ...request });
    const exchanges = new Exchanges(ask, terms.lostMs / 2);
    const fresh = { stream: undefined, recalls: [], heardAtMs: this.#now() };
    this.#sessions.begin({ gateway, epoch, cell, exchanges, ...fresh });
    log.info("uplink.session", { gateway, epoch, resumes: resumes ?? undefined, productVersion });
    const { lostMs, shareMs } = terms;
    return { epoch, committed: { ...committed }, heartbeatMs: this.#heartbeatMs, lostMs, shareMs };
  }

  async #stream(call: Call): Promise<Response> {
    const session = this.#demand(call);
    const stream = openDownStream(() => this.#sessions.detach(session, this.#now(), stream));
    const manifest = this.#deps.snapshot.latest();
    stream.put({ type: "heartbeat" }, this.#now());
    if (manifest) stream.put({ type: "manifest", manifest }, this.#now());
    this.#sessions.attach(session, stream, this.#now());
    return stream.response;
  }

  /** A giver that failed half-way leaves an open question: the session ends, and the next one begins with a declaration. */
  async #leases(call: Call): Promise<Response> {
    const session = this.#demand(call);
    const request = await readJson(call.request, LeaseRequest);
    // Before anything is granted: a control that starts anew must know of whom it may have been.
    await this.#deps.gateways.seen(session.gateway, session.epoch);
    try {
      return wired(await session.exchanges.answer(request, this.#now()));
    } catch (error) {
      this.#sessions.end(session, this.#now());
      throw error;
    }
  }

  async #segments(call: Call): Promise<Response> {
    const { gateway } = this.#demand(call);
    try {
      return jsonResponse(
        200,
        await this.#deps.segments.receive(gateway, await readSegment(call.request)),
      );
    } catch (error) {
      if (!isFault(error) || error.code !== "uplink.fenced") throw error;
      // No new session mends this: the epoch is in the segment's bytes.
      throw new Fault("uplink.fork", {
        message: "the segment was sealed before others that are here: two journals claim its place",
        cause: error,
      });
    }
  }

  async #feed(call: Call): Promise<Response> {
    const session = this.#demand(call);
    const delta = await readJson(call.request, FeedDelta);
    for (const field of ["gateway", "epoch", "cell"] as const) {
      if (delta[field] !== session[field])
        throw new Fault("request.invalid", { message: `${field}: not this session's`, field });
    }
    for (const { stream } of this.#sessions.peersOf(session))
      stream?.put({ type: "feed", delta }, this.#now());
    return done();
  }

  async #leave(call: Call): Promise<Response> {
    const session = this.#demand(call);
    const { gateway, epoch } = session;
    await this.#deps.leases.leave(gateway, epoch);
    await this.#deps.gateways.leave(gateway, epoch);
    this.#sessions.end(session, this.#now());
    this.#deps.log.info("uplink.left", { gateway, epoch });
    return done();
  }

  async #section({ path }: Call): Promise<Response> {
    const bytes = /^[0-9a-f]{64}$/.test(path) ? await this.#deps.snapshot.section(path) : undefined;
    if (!bytes)
      throw new Fault("entity.not_found", { message: `no section ${path.slice(0, 64)} here` });
    // The bytes are this response's own; TypeScript asks because they could be shared memory.
    return new Response(bytes as Uint8Array<ArrayBuffer>, {
      headers: { "content-type": "application/octet-stream" },
    });
  }

  #tick(): void {
    const nowMs = this.#now();
    for (const session of this.#sessions.all()) {
      const { gateway, epoch, stream } = session;
      if (nowMs - session.heardAtMs > this.#deps.terms.lostMs) {
        this.#deps.log.warn("uplink.silent", { gateway, epoch });
        this.#sessions.end(session, nowMs);
      } else if (stream && stream.stalledMs(nowMs) > STALL_MAX_MS) {
        this.#deps.log.warn("uplink.stalled", { gateway, epoch });
        this.#sessions.detach(session, nowMs);
      }
    }
    this.#sessions.broadcast({ type: "heartbeat" }, nowMs);
  }
}

export function createUplink(deps: UplinkDeps): Uplink {
  return new ControlUplink(deps);
}
