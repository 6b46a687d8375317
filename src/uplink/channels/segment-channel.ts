// Ships sealed segments of the journal, one after the other, until control has them; only then may the journal delete them.
// Invariants: nothing is deleted whose bytes control has not vouched for; a lane that does not fit control's stops, loudly, and
// keeps its segments, while the gateway goes on.

import type { SegmentHeader } from "../../billing/metering/types.ts";
import { errorText } from "../../kit/log.ts";
import { isPassing, UplinkRefusal } from "../client.ts";
import { mayRetry, type ChannelDeps, type GatewaySession } from "./gateway-session.ts";
import { openBell, pause, within } from "../../kit/pause.ts";
import { backoffMs, chooseSegment } from "../rules.ts";
import { PATHS, SegmentResponse } from "../types.ts";

export interface SealedSegment {
  readonly header: SegmentHeader;
  readonly path: string;
  readonly byteLength: number;
}

/** What the uplink needs of gateway/journal; `committed` may be called after the journal was closed. */
export interface ShippedJournal {
  pending(): readonly SealedSegment[];
  read(sealed: SealedSegment): Promise<Uint8Array>;
  committed(sequence: number): Promise<void>;
  onSealed(listener: () => void): void;
  setEpoch(epoch: number): void;
  seal(): Promise<void>;
}

export interface SegmentChannel {
  /** Ships until the session ends or the lane is refused. */
  run(session: GatewaySession): Promise<void>;
  /** Resolves when nothing is left to ship or `signal` is aborted. */
  shipped(signal: AbortSignal): Promise<void>;
  /** Control refused the lane in this session. */
  readonly stopped: boolean;
}

const SHIP_WITHIN_MS = 20_000;
/** Refused for what it is, not for when it came. */
const UNFIT: ReadonlySet<string> = new Set([
  "uplink.gap",
  "uplink.fork",
  "request.invalid",
  "request.too_large",
]);

class HttpSegments implements SegmentChannel {
  readonly #deps: ChannelDeps;
  readonly #journal: ShippedJournal;
  readonly #sealed = openBell();
  readonly #gone = openBell();
  stopped = false;

  constructor(deps: ChannelDeps, journal: ShippedJournal) {
    this.#deps = deps;
    this.#journal = journal;
    journal.onSealed(() => this.#sealed.ring());
  }

  async run(session: GatewaySession): Promise<void> {
    this.stopped = false;
    for (let attempt = 0; !session.signal.aborted && !this.stopped;) {
      const sealed = this.#next(session);
      if (!sealed) await this.#sealed.heard(session.signal);
      else if (await this.#ship(session, sealed)) attempt = 0;
      else await pause(backoffMs((attempt += 1), this.#deps.dice.next()), session.signal);
    }
    this.#gone.ring();
  }

  #next({ committed }: GatewaySession): SealedSegment | undefined {
    const pending = this.#journal.pending();
    return chooseSegment(pending, committed[String(pending[0]?.header.lane ?? 0)] ?? 0);
  }

  async shipped(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.stopped && this.#journal.pending().length > 0)
      await this.#gone.heard(signal);
  }

  /** True when control has it. */
  async #ship(session: GatewaySession, sealed: SealedSegment): Promise<boolean> {
    const { lane, sequence } = sealed.header;
    try {
      const body = await this.#journal.read(sealed);
      const { committed } = await this.#deps.client.json(SegmentResponse, {
        method: "POST",
        path: PATHS.segments,
        epoch: session.epoch,
        body,
        signal: within(SHIP_WITHIN_MS, session.signal),
      });
      // It vouches for what was sent and, by the chain of digests, for all before; not for what came after.
      if (committed < sequence) throw new Error(`control answered ${committed} to ${sequence}`);
      await this.#journal.committed(sequence);
      this.#deps.log.debug("uplink.shipped", { lane, sequence });
      this.#gone.ring();
      return true;
    } catch (error) {
      this.#judge(session, error, lane, sequence);
      return false;
    }
  }

  #judge(session: GatewaySession, error: unknown, lane: number, sequence: number): void {
    const { log } = this.#deps;
    if (error instanceof UplinkRefusal && UNFIT.has(error.code)) {
      this.stopped = true;
      log.error("uplink.lane_stopped", { lane, sequence, code: error.code, reason: error.message });
    } else if (mayRetry(session, error)) {
      const level = isPassing(error) ? "debug" : "warn";
      log[level]("uplink.segment_failed", { lane, sequence, reason: errorText(error) });
    }
  }
}

export function openSegmentChannel(deps: ChannelDeps, journal: ShippedJournal): SegmentChannel {
  return new HttpSegments(deps, journal);
}
