// A line that says how far a download is: share, rate over the last seconds, time left. Off a terminal: one line every 10 s,
// and none with --json, where all that a program finds on stderr is the failure.

import type { Terminal } from "./types.ts";

export interface ProgressLine {
  show(name: string, received: number, total: number | undefined, atMs: number): void;
  end(): void;
}

const BAR_CELLS = 24;
const WINDOW_MS = 5_000;
const QUIET_MS = 10_000;

export function bytesText(bytes: number): string {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

function durationText(seconds: number): string {
  if (!Number.isFinite(seconds)) return "";
  return seconds < 90 ? `${Math.ceil(seconds)} s left` : `${Math.ceil(seconds / 60)} min left`;
}

export function progressText(
  name: string,
  received: number,
  total: number | undefined,
  bytesPerSecond: number,
): string {
  const rate = bytesPerSecond > 0 ? `${bytesText(bytesPerSecond)}/s` : "";
  if (total === undefined || total <= 0)
    return [name, bytesText(received), rate].filter((part) => part !== "").join("  ");
  const share = Math.min(1, received / total);
  const full = Math.round(share * BAR_CELLS);
  const bar = `${"█".repeat(full)}${"░".repeat(BAR_CELLS - full)}`;
  const parts = [
    name,
    bar,
    `${Math.floor(share * 100)} %`,
    `${bytesText(received)} of ${bytesText(total)}`,
    rate,
    durationText((total - received) / bytesPerSecond),
  ];
  return parts.filter((part) => part !== "").join("  ");
}

export function progressLine(terminal: Terminal): ProgressLine {
  let samples: { readonly atMs: number; readonly received: number }[] = [];
  let saidAtMs = Number.NEGATIVE_INFINITY;
  return {
    show: (name, received, total, atMs) => {
      samples = [
        ...samples.filter((sample) => atMs - sample.atMs <= WINDOW_MS),
        { atMs, received },
      ];
      const oldest = samples[0] ?? { atMs, received };
      const rate =
        atMs > oldest.atMs ? ((received - oldest.received) * 1000) / (atMs - oldest.atMs) : 0;
      const text = progressText(name, received, total, rate);
      if (terminal.lively) process.stderr.write(`\r\u001b[2K${text}`);
      else if (terminal.format !== "json" && atMs - saidAtMs >= QUIET_MS) {
        terminal.say(text);
        saidAtMs = atMs;
      }
    },
    end: () => {
      if (terminal.lively) process.stderr.write("\r\u001b[2K");
    },
  };
}
