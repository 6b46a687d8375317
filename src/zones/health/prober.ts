// The worker's loop: every round asks each enabled engine once, a few at a time, and says in the log when one went up or down.
// Invariant: no failure ends the loop (a database that is away is tried again next round); after close() nothing runs.

import type { Clock, Dice } from "../../kit/clock.ts";
import type { EngineId } from "../../kit/id.ts";
import { errorText, type Log } from "../../kit/log.ts";
import { pause, type Pause } from "../../kit/pause.ts";
import { pauseMs } from "./rules.ts";
import type { CheckedEngine, EngineAnswer } from "./types.ts";

export interface ProberDeps {
  /** The enabled engines of all tenants. */
  readonly engines: () => Promise<readonly CheckedEngine[]>;
  readonly check: (engine: CheckedEngine) => Promise<EngineAnswer>;
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly dice: Pick<Dice, "next">;
  readonly log: Log;
  readonly pause?: Pause;
}

export interface Prober {
  /** Resolves when the questions under way are answered, within 5 s. */
  close(): Promise<void>;
}

/** After a start engines may be starting as well: then they are asked every second, so that nobody sees them down for long. */
const EAGER_ROUNDS = 10;
const EAGER_MS = 1_000;
/** Engines that do not answer hold a place for 5 s each. */
const AT_ONCE_MAX = 16;

/** Undefined: nobody knows, the probe itself failed. */
async function probe(deps: ProberDeps, engine: CheckedEngine): Promise<EngineAnswer | undefined> {
  try {
    return await deps.check(engine);
  } catch (error) {
    deps.log.warn("health.probe_failed", { engine: engine.id, reason: errorText(error) });
    return undefined;
  }
}

function report(log: Log, engine: EngineId, { judged, latencyMs }: EngineAnswer): void {
  if (judged.ok) log.info("health.engine_up", { engine, latencyMs });
  else log.warn("health.engine_down", { engine, code: judged.code, detail: judged.message });
}

type Seen = ReadonlyMap<EngineId, boolean>;

async function round(deps: ProberDeps, before: Seen, signal: AbortSignal): Promise<Seen> {
  const engines = (await deps.engines()).values();
  const seen = new Map<EngineId, boolean>();
  const work = async () => {
    // The iterator is shared: each engine is taken by one of the workers.
    for (const engine of engines) {
      if (signal.aborted) return;
      const answer = await probe(deps, engine);
      if (!answer) continue;
      seen.set(engine.id, answer.judged.ok);
      if (before.get(engine.id) !== answer.judged.ok) report(deps.log, engine.id, answer);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE_MAX }, work));
  return seen;
}

async function run(deps: ProberDeps, signal: AbortSignal): Promise<void> {
  const wait = deps.pause ?? pause;
  let seen: Seen = new Map();
  for (let rounds = 1; !signal.aborted; rounds += 1) {
    const startedMs = deps.clock.monotonicMs();
    try {
      seen = await round(deps, seen, signal);
    } catch (error) {
      deps.log.warn("health.round_failed", { reason: errorText(error) });
    }
    if (signal.aborted) return;
    const isDown = [...seen.values()].includes(false);
    const eager = rounds <= EAGER_ROUNDS && isDown;
    const roundTookMs = deps.clock.monotonicMs() - startedMs;
    await wait(eager ? EAGER_MS : pauseMs(roundTookMs, deps.dice.next()), signal);
  }
}

export function openProber(deps: ProberDeps): Prober {
  const stop = new AbortController();
  const running = run(deps, stop.signal);
  return {
    close: () => {
      stop.abort();
      return running;
    },
  };
}
