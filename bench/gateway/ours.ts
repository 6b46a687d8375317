// Our side of the bench: a real stack in a temporary folder, one gateway process, 8 engines, limits on, journal with fsync, access log on.
// Invariant: set up only through the command and the public control API, as a user would.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readRunState } from "../../src/run/data-dir.ts";
import type { Target } from "./load.ts";
import { cpuUs, firstLine, freePort, start, type Running } from "./process.ts";

const ROOT = join(import.meta.dir, "..", "..");
/** Far above what one process can do, so that limits are kept but refuse nothing. */
const PLENTY = {
  requestsPerMinute: 9_000_000,
  tokensPerMinute: 900_000_000_000,
  concurrentStreams: 100_000,
};
const MODELS = ["mock", "mock-stream-1", "mock-stream-4", "mock-stream-16"];

const Created = z.object({ token: z.string() });

type Keep = (running: Running) => Running;
type Call = (method: string, path: string, body: unknown) => Promise<unknown>;

function control(url: string, adminKey: string): Call {
  return async (method, path, body) => {
    const answer = await fetch(new URL(`/api/v1${path}`, url), {
      method,
      headers: { "content-type": "application/json", authorization: `Bearer ${adminKey}` },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  };
}

async function setUp(call: Call, upstreamPorts: readonly number[]): Promise<string> {
  for (const [index, port] of upstreamPorts.entries()) {
    const models = Object.fromEntries(MODELS.map((model) => [model, model]));
    const baseUrl = `http://127.0.0.1:${port}/v1`;
    await call("POST", "/upstreams", {
      name: `mock-${index}`,
      baseUrl,
      models,
      allowPrivateAddress: true,
    });
  }
  for (const model of MODELS) {
    const perMillion = { input_tokens: "1", output_tokens: "2" };
    await call("POST", "/prices", { model, effectiveFrom: new Date(0).toISOString(), perMillion });
  }
  return Created.parse(await call("POST", "/keys", { name: "bench", kind: "live", limits: PLENTY }))
    .token;
}

async function untilServed(url: string, token: string): Promise<void> {
  const body = JSON.stringify({ model: "mock", messages: [{ role: "user", content: "hi" }] });
  const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const answer = await fetch(`${url}/chat/completions`, { method: "POST", headers, body });
    await answer.arrayBuffer();
    if (answer.ok) return;
    await Bun.sleep(100);
  }
  throw new Error("our gateway did not serve the bench's model within 10 s");
}

/** Process ids of a role, as `up` wrote them down. */
function pidsOf(dataDir: string, role: string): number[] {
  const roles = readRunState(dataDir)?.roles ?? [];
  return roles.filter(({ name }) => name.replace(/-\d+$/, "") === role).map(({ pid }) => pid);
}

export interface Ours {
  readonly target: Omit<Target, "name">;
  /** Figures beside the gateway's own: CPU that shipping and posting the journal cost elsewhere, per request. */
  readonly extra: () => Record<string, number>;
}

export async function openOurs(
  folder: string,
  upstreamPorts: readonly number[],
  keep: Keep,
): Promise<Ours> {
  const dataDir = join(folder, "intertie");
  const ports = { gateway: await freePort(), control: await freePort(), engine: await freePort() };
  const flags = ["--json", "--data-dir", dataDir, "--gateways", "1", "--port", `${ports.gateway}`];
  flags.push("--control-port", `${ports.control}`, "--engine-port", `${ports.engine}`);
  const env = { INTERTIE_ACCESS_LOG: "1" };
  const up = keep(
    start("node", [join(ROOT, "bin", "intertie.mjs"), "up", ...flags], { output: "pipe", env }),
  );
  await firstLine(up);
  const adminKey = readFileSync(join(dataDir, "admin.key"), "utf8").trim();
  const token = await setUp(control(`http://127.0.0.1:${ports.control}`, adminKey), upstreamPorts);
  const url = `http://127.0.0.1:${ports.gateway}/v1`;
  await untilServed(url, token);
  const pids = pidsOf(dataDir, "gateway");
  const others = [...pidsOf(dataDir, "control"), ...pidsOf(dataDir, "worker")];
  const before = cpuUs(others);
  return {
    target: { url, headers: { authorization: `Bearer ${token}` }, pids },
    extra: () => ({ shipping_cpu_s: Math.round((cpuUs(others) - before) / 1e5) / 10 }),
  };
}
