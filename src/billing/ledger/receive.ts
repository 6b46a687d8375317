// Receipt: a gateway's sealed segment is stored and its cursor moved before the gateway hears "committed".
// Invariants: idempotent; after a fork the lane is frozen, because two journals claim one place in it.

import type { Transaction } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import type { Clock } from "../../kit/clock.ts";
import { Fault } from "../../kit/fault.ts";
import type { Log } from "../../kit/log.ts";
import { decodeSegment, segmentDigest } from "../metering/segment.rules.ts";
import type { SegmentHeader } from "../metering/types.ts";
import { judgeArrival, type Arrival } from "./arrival.rules.ts";
import { openLedgerStore } from "./store.ts";

export interface ReceiveDeps {
  readonly inTransaction: <T>(work: (trx: Transaction<DB>) => Promise<T>) => Promise<T>;
  readonly clock: Pick<Clock, "nowMs">;
  readonly log: Log;
}

export interface Received {
  readonly lane: number;
  /** All up to here are in the database; the gateway may delete them. */
  readonly committed: number;
}

interface Outcome extends Received {
  readonly arrival: Arrival;
}

async function take(
  deps: ReceiveDeps,
  trx: Transaction<DB>,
  header: SegmentHeader,
  bytes: Uint8Array,
): Promise<Outcome> {
  const store = openLedgerStore(trx);
  const { gateway, lane, sequence } = header;
  const digest = segmentDigest(bytes);
  const cursor = await store.lockCursor(gateway, lane);
  const known = await store.selectDigest(gateway, lane, sequence);
  const arrival = judgeArrival(cursor, header, digest, known);
  if (arrival === "take") {
    const at = new Date(deps.clock.nowMs());
    const segment = { gateway, lane, sequence, digest, bytes };
    await store.insertSegment(segment, header.epoch, header.count, at);
    return { arrival, lane, committed: sequence };
  }
  if (arrival === "fork") await store.freeze(gateway, lane, `segment ${sequence}: fork`);
  return { arrival, lane, committed: cursor.received };
}

function headerOf(gateway: string, bytes: Uint8Array): SegmentHeader {
  const wrong = (message: string, cause?: unknown) =>
    new Fault("request.invalid", { message: `not a segment: ${message}`, cause });
  try {
    const { header } = decodeSegment(bytes);
    if (header.gateway === gateway) return header;
    throw wrong(`it is of ${header.gateway}`);
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw wrong(error instanceof Error ? error.message : "unreadable", error);
  }
}

/** `gateway`: who was authenticated. Throws `uplink.gap`, `uplink.fork` or `uplink.fenced`. */
export async function receiveSegment(
  deps: ReceiveDeps,
  gateway: string,
  bytes: Uint8Array,
): Promise<Received> {
  const header = headerOf(gateway, bytes);
  const { arrival, lane, committed } = await deps.inTransaction((trx) =>
    take(deps, trx, header, bytes),
  );
  if (arrival === "take" || arrival === "duplicate") return { lane, committed };
  const { sequence, epoch } = header;
  deps.log.error(`ledger.${arrival}`, { gateway, lane, sequence, epoch, committed });
  throw new Fault(`uplink.${arrival}`, {
    message: `segment ${sequence} of lane ${lane} does not follow ${committed}`,
  });
}

/** What a gateway's session begins with: per lane the last segment that is here. */
export function committedLanes(
  deps: Pick<ReceiveDeps, "inTransaction">,
  gateway: string,
): Promise<Readonly<Record<string, number>>> {
  return deps.inTransaction((trx) => openLedgerStore(trx).selectReceived(gateway));
}
