// The gateway's end of the uplink: one session at a time, opened again whenever it ends, and the four channels that run in it.
// Invariants: what the gateway serves never waits for control; what control must not lose stays on disk until it is confirmed.

import type { LeaseSource } from "../billing/budgets/types.ts";
import type { Clock, Dice } from "../kit/clock.ts";
import { errorText, type Log } from "../kit/log.ts";
import type { LoadFeed } from "../zones/routing/types.ts";
import { isPassing, type UplinkClient } from "./client.ts";
import { beginSession, type ChannelDeps, type GatewaySession } from "./channels/gateway-session.ts";
import { openLeaseChannel, type LeaseChannel } from "./channels/lease-channel.ts";
import { openLoadChannel, type LoadChannel } from "./channels/load-channel.ts";
import {
  createManifestTaker,
  type ManifestTaker,
  type OfferManifest,
} from "./channels/manifest-taker.ts";
import { openBell, pause, within } from "../kit/pause.ts";
import { backoffMs } from "./rules.ts";
import {
  openSegmentChannel,
  type SegmentChannel,
  type ShippedJournal,
} from "./channels/segment-channel.ts";
import { runStream } from "./channels/stream-channel.ts";
import {
  PATHS,
  SessionResponse,
  UPLINK_VERSION,
  type DownMessage,
  type SessionRequest,
} from "./types.ts";

export interface GatewayUplinkDeps {
  readonly client: UplinkClient;
  readonly about: Pick<SessionRequest, "cell" | "address" | "productVersion">;
  readonly journal: ShippedJournal;
  readonly offer: OfferManifest;
  /** Awaited before anything is sealed under the new epoch: a restart must recover the journal under no lower one. */
  readonly saveEpoch: (epoch: number) => Promise<void>;
  readonly clock: Clock;
  readonly dice: Pick<Dice, "next">;
  readonly log: Log;
}

export interface UplinkStatus {
  readonly connected: boolean;
  /** 0 before the first session. */
  readonly epoch: number;
  readonly pendingSegments: number;
  /** Control refused the journal's lane: an operator has to look. */
  readonly laneStopped: boolean;
  /** Other gateways of the cell that hear our load. */
  readonly peers: number;
}

export interface GatewayUplink {
  readonly leases: LeaseSource;
  readonly feed: LoadFeed;
  status(): UplinkStatus;
  /** True once a session is open; false when none was after `withinMs`, and the gateway starts from what is on disk. */
  opened(withinMs: number): Promise<boolean>;
  /** Ships what is sealed, gives back, says goodbye; after `withinMs` the rest is left to the next start. */
  close(withinMs: number): Promise<void>;
}

const SESSION_WITHIN_MS = 5_000;
/** A session that lived for so long was a good one: the next is asked for at once. */
const GOOD_MS = 5_000;

class HttpUplink implements GatewayUplink {
  readonly #deps: GatewayUplinkDeps;
  readonly #channels: { readonly leases: LeaseChannel; readonly load: LoadChannel };
  readonly #segments: SegmentChannel;
  readonly #takeManifest: ManifestTaker;
  readonly #recoveredUpTo: number;
  readonly #closed = new AbortController();
  readonly #opened = openBell();
  #session: GatewaySession | undefined;
  #epoch = 0;
  #complaint = "";
  #running: Promise<void> | undefined;

  constructor(deps: GatewayUplinkDeps) {
    const channel: ChannelDeps = deps;
    this.#deps = deps;
    this.#channels = { leases: openLeaseChannel(channel), load: openLoadChannel(channel) };
    this.#segments = openSegmentChannel(channel, deps.journal);
    this.#takeManifest = createManifestTaker(channel, deps.offer);
    this.#recoveredUpTo = deps.journal.pending().at(-1)?.header.sequence ?? 0;
  }

  get leases(): LeaseSource {
    return this.#channels.leases;
  }

  get feed(): LoadFeed {
    return this.#channels.load;
  }

  status = (): UplinkStatus => ({
    connected: this.#channels.leases.connected,
    epoch: this.#epoch,
    pendingSegments: this.#deps.journal.pending().length,
    laneStopped: this.#segments.stopped,
    peers: this.#channels.load.peers,
  });

  start(): void {
    this.#running = this.#run();
  }

  async opened(withinMs: number): Promise<boolean> {
    if (!this.#session) await this.#opened.heard(within(withinMs, this.#closed.signal));
    return this.#session !== undefined;
  }

  async close(withinMs: number): Promise<void> {
    const signal = AbortSignal.timeout(withinMs);
    const session = this.#session;
    if (session) await this.#sayGoodbye(session, AbortSignal.any([signal, session.signal]));
    this.#closed.abort();
    this.#session?.end("closed");
    await this.#running;
  }

  async #sayGoodbye({ epoch }: GatewaySession, signal: AbortSignal): Promise<void> {
    const { client, log } = this.#deps;
    await Promise.all([this.#segments.shipped(signal), this.#channels.leases.flushed(signal)]);
    try {
      await client.send({ method: "POST", path: PATHS.leave, epoch, signal });
    } catch (error) {
      log.warn("uplink.no_goodbye", { reason: errorText(error) });
    }
  }

  async #run(): Promise<void> {
    const { clock, dice } = this.#deps;
    const { signal } = this.#closed;
    for (let attempt = 0; !signal.aborted;) {
      const askedAtMs = clock.monotonicMs();
      const session = await this.#open(askedAtMs);
      if (session && !signal.aborted) await this.#live(session);
      const wasGood = session !== undefined && clock.monotonicMs() - askedAtMs > GOOD_MS;
      attempt = wasGood ? 1 : attempt + 1;
      await pause(backoffMs(attempt, dice.next()), signal);
    }
  }

  async #open(askedAtMs: number): Promise<GatewaySession | undefined> {
    const { client, about, journal, saveEpoch, log } = this.#deps;
    const request: SessionRequest = {
      uplinkVersion: UPLINK_VERSION,
      ...about,
      resumes: this.#epoch === 0 ? null : this.#epoch,
      recoveredUpTo: this.#recoveredUpTo,
    };
    try {
      const response = await client.json(SessionResponse, {
        method: "POST",
        path: PATHS.session,
        body: JSON.stringify(request),
        signal: within(SESSION_WITHIN_MS, this.#closed.signal),
      });
      await saveEpoch(response.epoch);
      journal.setEpoch(response.epoch);
      this.#epoch = response.epoch;
      this.#complaint = "";
      log.info("uplink.open", { epoch: response.epoch });
      return beginSession(response, askedAtMs);
    } catch (error) {
      this.#complain(error);
      return undefined;
    }
  }

  /** Each reason once: a control that is away is tried every other second. */
  #complain(error: unknown): void {
    const reason = errorText(error);
    if (this.#closed.signal.aborted || reason === this.#complaint) return;
    this.#complaint = reason;
    this.#deps.log[isPassing(error) ? "warn" : "error"]("uplink.away", { reason });
  }

  async #live(session: GatewaySession): Promise<void> {
    const { leases, load } = this.#channels;
    this.#session = session;
    load.begin(session);
    const running = leases.run(session);
    this.#opened.ring();
    await Promise.all([
      running,
      this.#segments.run(session),
      runStream(this.#deps, session, (message) => this.#deliver(message, session)),
    ]);
    this.#session = undefined;
    if (!this.#closed.signal.aborted)
      this.#deps.log.warn("uplink.lost", { reason: String(session.signal.reason) });
  }

  #deliver(message: DownMessage, session: GatewaySession): void {
    const { leases, load } = this.#channels;
    if (message.type === "manifest") this.#takeManifest(message.manifest, session);
    else if (message.type === "recall") leases.recalled(message.resources);
    else if (message.type === "peers") load.setPeers(message.count);
    else if (message.type === "feed") load.received(message.delta);
  }
}

/** Starts at once and in the background; resolves when the journal's past is sealed, whether control is there or not. */
export async function openUplink(deps: GatewayUplinkDeps): Promise<GatewayUplink> {
  await deps.journal.seal();
  const uplink = new HttpUplink(deps);
  uplink.start();
  return uplink;
}
