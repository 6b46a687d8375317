// The in-flight ledger: what this gateway has open on each engine, plus what its peers last told.
// Invariant: own counts are exact and never negative; a peer's counts vanish when their term is over or its epoch passed.

import type { EngineId } from "../../kit/id.ts";
import type { LoadDelta } from "./types.ts";

/** After a failure before the first byte an engine is tried last for this long. */
export const COOL_DOWN_MS = 5_000;

export interface LoadLedger {
  begin(engineId: EngineId): void;
  end(engineId: EngineId): void;
  /** The engine refused or could not be reached. */
  failed(engineId: EngineId, nowMs: number): void;
  succeeded(engineId: EngineId): void;
  inFlight(engineId: EngineId, nowMs: number): number;
  coolingDown(engineId: EngineId, nowMs: number): boolean;
  absorb(delta: LoadDelta, nowMs: number): void;
  /** Own counts, for publishing. */
  own(): Readonly<Record<string, number>>;
}

interface Peer {
  epoch: number;
  sequence: number;
  expiresAtMs: number;
  inFlight: Readonly<Record<string, number>>;
}

/** `cell`: deltas of other cells are ignored. Peers are bounded by `peersMax`, the stalest goes first. */
export function openLoadLedger(cell: string, peersMax = 256): LoadLedger {
  const own = new Map<EngineId, number>();
  const failedAt = new Map<EngineId, number>();
  const peers = new Map<string, Peer>();

  const makeRoom = () => {
    if (peers.size < peersMax) return;
    let stalest: string | undefined;
    let earliest = Infinity;
    for (const [name, peer] of peers) {
      if (peer.expiresAtMs < earliest) [stalest, earliest] = [name, peer.expiresAtMs];
    }
    if (stalest !== undefined) peers.delete(stalest);
  };

  return {
    begin: (engineId) => void own.set(engineId, (own.get(engineId) ?? 0) + 1),
    end: (engineId) => {
      const left = (own.get(engineId) ?? 0) - 1;
      if (left > 0) own.set(engineId, left);
      else own.delete(engineId);
    },
    failed: (engineId, nowMs) => void failedAt.set(engineId, nowMs),
    succeeded: (engineId) => void failedAt.delete(engineId),
    inFlight: (engineId, nowMs) => {
      let count = own.get(engineId) ?? 0;
      for (const peer of peers.values())
        if (peer.expiresAtMs > nowMs) count += peer.inFlight[engineId] ?? 0;
      return count;
    },
    coolingDown: (engineId, nowMs) => {
      const at = failedAt.get(engineId);
      return at !== undefined && nowMs - at < COOL_DOWN_MS;
    },
    absorb: (delta, nowMs) => {
      if (delta.cell !== cell) return;
      const known = peers.get(delta.gateway);
      if (
        known &&
        (delta.epoch < known.epoch ||
          (delta.epoch === known.epoch && delta.sequence <= known.sequence))
      )
        return;
      if (!known) makeRoom();
      peers.set(delta.gateway, {
        epoch: delta.epoch,
        sequence: delta.sequence,
        expiresAtMs: nowMs + delta.expiresInMs,
        inFlight: delta.inFlight,
      });
    },
    own: () => Object.fromEntries(own),
  };
}
