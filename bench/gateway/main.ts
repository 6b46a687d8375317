// `npm run bench:gateway`: our gateway beside nginx (the limit) and Portkey (a peer) on one machine, all on loopback.
// Invariant: every figure is the median of interleaved rounds; each proxy gets the same requests and the same mock upstream.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runLoad, type Target } from "./load.ts";
import { nginxConf } from "./nginx.conf.ts";
import { openOurs } from "./ours.ts";
import {
  cpuUs,
  firstLine,
  freePort,
  peakMb,
  start,
  untilAnswers,
  type Running,
} from "./process.ts";

const argument = (name: string, fallback: number) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? fallback : Number(process.argv[at + 1]);
};
/** Only our gateway process over a literal snapshot and nginx: minutes less, for whoever works on the hot path. */
const ALONE = process.argv.includes("--alone");
const ROUNDS = argument("rounds", 5);
const SECONDS = argument("seconds", 3);
/** Compilers that work at run time need some thousands of requests. */
const WARM_SECONDS = 5;
const STREAM_CONNECTIONS = 32;
const EVENTS_PER_CHUNK = [1, 4, 16] as const;

type Figures = Record<string, number>;
const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
const say = (line: string) => process.stderr.write(`${line}\n`);

/** In a folder of its own, so that its dependencies never shadow ours. */
async function installPortkey(): Promise<string> {
  const peer = join(import.meta.dir, "peer");
  const folder = join(peer, "node_modules", "@portkey-ai", "gateway");
  if (!existsSync(folder)) {
    say("bench: installing @portkey-ai/gateway …");
    const quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"];
    const install = Bun.spawn(["npm", "install", ...quiet], { cwd: peer, stdout: "ignore" });
    if ((await install.exited) !== 0) throw new Error("npm could not install @portkey-ai/gateway");
  }
  return join(folder, "build", "start-server.js");
}

function requireDebian(command: string): void {
  if (Bun.which(command) === null && !existsSync(`/usr/sbin/${command}`))
    throw new Error(
      `${command} is missing: apt-get install ${command === "nginx" ? "nginx-light" : command}`,
    );
}

/** One round of one target: latency at 1 and 32 connections, then streams. `direct` is the mock without a proxy. */
async function round(folder: string, target: Target, upstream: string): Promise<Figures> {
  const alone = await runLoad(folder, target, "mock", 1, SECONDS);
  const before = cpuUs(target.pids);
  const busy = await runLoad(folder, target, "mock", 32, SECONDS);
  const perRequest = target.pids.length === 0 ? 0 : (cpuUs(target.pids) - before) / busy.requests;
  const figures: Figures = {
    rps: busy.requests / busy.seconds,
    p50_1: alone.p50Us,
    p99_1: alone.p99Us,
    p50_32: busy.p50Us,
    p99_32: busy.p99Us,
    cpu_us_per_request: perRequest,
  };
  for (const events of target.pids.length === 0 ? [] : EVENTS_PER_CHUNK)
    figures[`cpu_us_per_chunk_${events}`] = await chunkCost(
      folder,
      target,
      upstream,
      events,
      perRequest,
    );
  return figures;
}

/** CPU of a relayed chunk, the cost of the requests that they belong to taken off. */
async function chunkCost(
  folder: string,
  target: Target,
  upstream: string,
  events: number,
  perRequest: number,
): Promise<number> {
  const before = { cpu: cpuUs(target.pids), ...(await sent(upstream)) };
  await runLoad(folder, target, `mock-stream-${events}`, STREAM_CONNECTIONS, Math.max(SECONDS, 5));
  const after = { cpu: cpuUs(target.pids), ...(await sent(upstream)) };
  const requests = after.streams - before.streams;
  return (
    Math.max(0, after.cpu - before.cpu - requests * perRequest) / (after.chunks - before.chunks)
  );
}

/** What the mock upstream has streamed so far, over all its ports. */
async function sent(upstream: string): Promise<{ streams: number; chunks: number }> {
  const answer = await fetch(`${upstream}/sent`);
  // mock.ts answers exactly this.
  return (await answer.json()) as { streams: number; chunks: number };
}

function summarise(
  rounds: readonly Figures[],
  direct: readonly Figures[],
  target: Target,
): Figures {
  const of = (name: string, list = rounds) => median(list.map((each) => each[name] ?? Number.NaN));
  const added = (name: string) => of(name) - of(name, direct);
  return {
    rps: Math.round(of("rps")),
    added_p50_us: Math.round(added("p50_1")),
    added_p99_us: Math.round(added("p99_1")),
    added_p50_us_c32: Math.round(added("p50_32")),
    added_p99_us_c32: Math.round(added("p99_32")),
    cpu_us_per_request: Number(of("cpu_us_per_request").toFixed(1)),
    cpu_us_per_chunk: Number(of("cpu_us_per_chunk_1").toFixed(2)),
    cpu_us_per_chunk_4: Number(of("cpu_us_per_chunk_4").toFixed(2)),
    cpu_us_per_chunk_16: Number(of("cpu_us_per_chunk_16").toFixed(2)),
    peak_mb: Math.round(peakMb(target.pids)),
  };
}

function print(results: Readonly<Record<string, Figures>>): void {
  const names = Object.keys(results);
  const width = 24;
  say(["figure".padEnd(width), ...names.map((name) => name.padStart(12))].join(""));
  for (const figure of Object.keys(results[names[0] ?? ""] ?? {})) {
    say(
      [
        figure.padEnd(width),
        ...names.map((name) => String(results[name]?.[figure] ?? "").padStart(12)),
      ].join(""),
    );
  }
}

async function openAlone(
  folder: string,
  ports: readonly number[],
  keep: (process: Running) => Running,
): Promise<Omit<Target, "name">> {
  const args = [join(import.meta.dir, "hot-path.ts"), folder, ...ports.map(String)];
  const env = { BUN_CONFIG_MAX_HTTP_REQUESTS: "65535" };
  const gateway = keep(start(process.execPath, args, { output: "pipe", env }));
  const { url, token } = JSON.parse(await firstLine(gateway)) as { url: string; token: string };
  return { url: `${url}/v1`, headers: { authorization: `Bearer ${token}` }, pids: [gateway.pid] };
}

async function openTargets(
  folder: string,
  running: Running[],
): Promise<{ targets: Target[]; upstream: string; extra: () => Figures }> {
  const keep = (process: Running) => {
    running.push(process);
    return process;
  };
  const mock = keep(
    start(process.execPath, [join(import.meta.dir, "mock.ts"), "8"], { output: "pipe" }),
  );
  const said = JSON.parse(await firstLine(mock)) as { ports: number[] };
  const [upstream = 0] = said.ports;

  const nginxPort = await freePort();
  writeFileSync(join(folder, "nginx.conf"), nginxConf(folder, nginxPort, said.ports));
  const nginx = keep(start("/usr/sbin/nginx", ["-p", folder, "-c", join(folder, "nginx.conf")]));
  await untilAnswers(`http://127.0.0.1:${nginxPort}/v1/models`);
  const workers = (await new Response(Bun.spawn(["pgrep", "-P", String(nginx.pid)]).stdout).text())
    .trim()
    .split("\n")
    .map(Number);

  const at = (port: number) => `http://127.0.0.1:${port}/v1`;
  const limit = { name: "nginx", url: at(nginxPort), headers: {}, pids: workers };
  const direct = { name: "direct", url: at(upstream), headers: {}, pids: [] };
  if (ALONE) {
    const alone = await openAlone(folder, said.ports, keep);
    const targets = [direct, { name: "ours", ...alone }, limit];
    return { targets, upstream: at(upstream), extra: () => ({}) };
  }
  const portkeyPort = await freePort();
  const portkey = keep(
    start("node", [await installPortkey(), "--headless", `--port=${portkeyPort}`], {
      env: { NODE_ENV: "production" },
    }),
  );
  await untilAnswers(`http://127.0.0.1:${portkeyPort}/`);
  const ours = await openOurs(folder, said.ports, keep);

  const portkeyHeaders = {
    authorization: "Bearer x",
    "x-portkey-provider": "openai",
    "x-portkey-custom-host": at(upstream),
  };
  return {
    targets: [
      direct,
      { name: "ours", ...ours.target },
      limit,
      { name: "portkey", url: at(portkeyPort), headers: portkeyHeaders, pids: [portkey.pid] },
    ],
    upstream: at(upstream),
    extra: ours.extra,
  };
}

async function main(): Promise<void> {
  requireDebian("nginx");
  requireDebian("wrk");
  const folder = mkdtempSync(join(tmpdir(), "bench-gateway-"));
  const running: Running[] = [];
  try {
    const { targets, upstream, extra } = await openTargets(folder, running);
    for (const target of targets) await runLoad(folder, target, "mock", 32, WARM_SECONDS);
    const rounds: Record<string, Figures[]> = {};
    for (let index = 0; index < ROUNDS; index += 1) {
      for (const target of targets) {
        (rounds[target.name] ??= []).push(await round(folder, target, upstream));
        say(
          `bench: round ${index + 1}/${ROUNDS} ${target.name} ${Math.round(rounds[target.name]?.at(-1)?.["rps"] ?? 0)} requests/s`,
        );
      }
    }
    const proxies = targets.filter((target) => target.name !== "direct");
    const results = Object.fromEntries(
      proxies.map((target) => [
        target.name,
        summarise(rounds[target.name] ?? [], rounds["direct"] ?? [], target),
      ]),
    );
    results["ours"] = { ...results["ours"], ...extra() };
    print(results);
    process.stdout.write(`${JSON.stringify({ name: "gateway", ...results })}\n`);
  } finally {
    for (const process of running.toReversed()) await process.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
