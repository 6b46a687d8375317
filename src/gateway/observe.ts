// What a gateway tells about its requests: metrics, and one access-log line a request. Ids, counts and codes only, never a prompt.
// Invariant: label values come from closed or configured sets, and a full line buffer never makes a request wait.

import type { Fact, Meter } from "../billing/metering/types.ts";
import { LATENCY_BUCKETS_S, type Labels, type Metrics } from "../kit/metrics.ts";
import type { Ended, Observer, Target } from "./types.ts";

/** Label objects are made once, so that the metrics need not write them out again for each request. */
function labelled(name: string): (value: string) => Labels {
  const known = new Map<string, Labels>();
  return (value) => {
    let labels = known.get(value);
    if (labels === undefined) {
      labels = { [name]: value };
      known.set(value, labels);
    }
    return labels;
  };
}

const INPUT: readonly Meter[] = ["input_tokens", "cached_input_tokens", "cache_write_tokens"];
const OUTPUT: readonly Meter[] = ["output_tokens", "reasoning_tokens"];

function tokens(fact: Fact, meters: readonly Meter[]): number {
  return fact.quantities.reduce(
    (sum, { meter, amount }) => (meters.includes(meter) ? sum + Number(amount) : sum),
    0,
  );
}

function lineOf(ended: Ended, nowMs: number): string {
  const { exchange, httpStatus, code, fact, events, chunks } = ended;
  return JSON.stringify({
    time: nowMs,
    request: exchange.id,
    endpoint: exchange.endpoint,
    http: httpStatus,
    code,
    status: fact?.status,
    attempt: fact?.attempt,
    project: fact?.projectRef,
    key: fact?.keyRef,
    model: fact?.modelVersionRef,
    engine: fact?.engineRef,
    input: fact && tokens(fact, INPUT),
    output: fact && tokens(fact, OUTPUT),
    events: fact?.streamed ? events : undefined,
    chunks: fact?.streamed ? chunks : undefined,
    firstByteMs: fact?.firstByteMs,
    ms: nowMs - exchange.startedAtMs,
  });
}

/** Lines written together: at the latest after `everyMs`, and at once when they are many. */
export function openLines(write: (text: string) => void, everyMs = 200, linesMax = 512) {
  let lines: string[] = [];
  const flush = () => {
    if (lines.length === 0) return;
    const text = `${lines.join("\n")}\n`;
    lines = [];
    write(text);
  };
  const timer = setInterval(flush, everyMs);
  timer.unref();
  return {
    add: (line: string) => {
      lines.push(line);
      if (lines.length >= linesMax) flush();
    },
    close: () => {
      clearInterval(timer);
      flush();
    },
  };
}

export interface ObserverOptions {
  readonly metrics: Metrics;
  readonly nowMs: () => number;
  /** Undefined: no access log. */
  readonly accessLog?: ((line: string) => void) | undefined;
}

export function openObserver({ metrics, nowMs, accessLog }: ObserverOptions): Observer {
  const requests = metrics.counter("intertie_requests_total", "Requests ended, by outcome.");
  const attempts = metrics.counter("intertie_attempts_total", "Attempts settled, by engine.");
  const metered = metrics.counter("intertie_metered_total", "Quantities metered, by meter.");
  const firstByte = metrics.histogram(
    "intertie_first_byte_seconds",
    "From arrival to the first byte relayed.",
    LATENCY_BUCKETS_S,
  );
  const byCode = labelled("code");
  const byEngine = labelled("engine");
  const byMeter = labelled("meter");
  return {
    attempt: (fact: Fact, target: Target) => {
      attempts.add(1, byEngine(target.engine.name));
      for (const { meter, amount } of fact.quantities) metered.add(Number(amount), byMeter(meter));
      if (fact.firstByteMs >= 0) firstByte.observe(fact.firstByteMs / 1000);
    },
    ended: (ended) => {
      requests.add(1, byCode(ended.code ?? ended.fact?.status ?? "ok"));
      accessLog?.(lineOf(ended, nowMs()));
    },
  };
}
