// Routing: the words shared by the gateway's route step, the load ledger and (later) the simulator.

import type { EngineId } from "../../kit/id.ts";

/** One place that could serve a request, as the route step sees it at that instant. */
export interface Candidate {
  readonly engineId: EngineId;
  /** Requests open on it, over all gateways that share the load feed. */
  readonly inFlight: number;
  /** It failed a moment ago: still usable, but after all others. */
  readonly coolingDown: boolean;
}

/** What one gateway tells its peers: absolute values for the engines that changed. Loss is allowed; values expire. */
export interface LoadDelta {
  readonly cell: string;
  readonly gateway: string;
  readonly epoch: number;
  readonly sequence: number;
  readonly expiresInMs: number;
  readonly inFlight: Readonly<Record<string, number>>;
}

/** The port (HOUSE seam 5). Adapters: in memory (tests), the uplink's feed channel. */
export interface LoadFeed {
  publish(delta: LoadDelta): void;
  subscribe(listener: (delta: LoadDelta) => void): () => void;
}
