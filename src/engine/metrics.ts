// The engine's numbers under vLLM's names, so that dashboards and routers made for vLLM read them as they are.
// Invariant: the label model_name takes only names that the index holds.

import { LATENCY_BUCKETS_S, openMetrics } from "../kit/metrics.ts";
import type { FinishReason, Usage } from "./types.ts";

/** Read at scrape time. */
export interface ModelLoad {
  readonly name: string;
  readonly running: number;
  readonly waiting: number;
  /** Share of the model's memory for tokens that is in use, 0 to 1. */
  readonly cacheShare: number;
}

export interface EngineMetrics {
  firstToken(model: string, seconds: number): void;
  finished(model: string, seconds: number, usage: Usage, reasons: readonly FinishReason[]): void;
  render(loads: readonly ModelLoad[]): string;
}

export function openEngineMetrics(): EngineMetrics {
  const metrics = openMetrics();
  const running = metrics.gauge("vllm:num_requests_running", "Requests that are being answered.");
  const waiting = metrics.gauge("vllm:num_requests_waiting", "Requests that wait for a slot.");
  const cache = metrics.gauge(
    "vllm:kv_cache_usage_perc",
    "Share of the KV cache in use (1: full).",
  );
  const prompt = metrics.counter("vllm:prompt_tokens_total", "Prompt tokens read.");
  const output = metrics.counter("vllm:generation_tokens_total", "Tokens generated.");
  const success = metrics.counter("vllm:request_success_total", "Choices that came to their end.");
  const first = metrics.histogram(
    "vllm:time_to_first_token_seconds",
    "From the request's arrival to its first token.",
    LATENCY_BUCKETS_S,
  );
  const whole = metrics.histogram(
    "vllm:e2e_request_latency_seconds",
    "From the request's arrival to its last token.",
    LATENCY_BUCKETS_S,
  );
  return {
    firstToken: (model, seconds) => first.observe(seconds, { model_name: model }),
    finished: (model, seconds, usage, reasons) => {
      const labels = { model_name: model };
      prompt.add(usage.promptTokens, labels);
      output.add(usage.outputTokens, labels);
      whole.observe(seconds, labels);
      for (const reason of reasons) success.add(1, { ...labels, finished_reason: reason });
    },
    render: (loads) => {
      for (const load of loads) {
        const labels = { model_name: load.name };
        running.set(load.running, labels);
        waiting.set(load.waiting, labels);
        cache.set(load.cacheShare, labels);
      }
      return metrics.render();
    },
  };
}
