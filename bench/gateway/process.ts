// Child processes of the bench: started on loopback, measured by the kernel's own accounting, ended by id.

import { readdirSync, readFileSync } from "node:fs";
import { spawn, type ChildProcess } from "node:child_process";

export interface Running {
  readonly pid: number;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/** Ticks per second of /proc/PID/stat; fixed at 100 on Linux. */
const TICKS = 100;

export function start(
  command: string,
  args: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: Record<string, string>;
    readonly output?: "pipe" | "ignore";
  } = {},
): Running {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", options.output ?? "ignore", "inherit"],
  });
  const ended = new Promise<void>((resolve) => void child.once("exit", () => resolve()));
  return {
    pid: child.pid ?? 0,
    child,
    stop: async () => {
      child.kill("SIGTERM");
      const hard = setTimeout(() => child.kill("SIGKILL"), 5000);
      await ended;
      clearTimeout(hard);
    },
  };
}

/** The first line that a child prints. */
export function firstLine(running: Running): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    running.child.stdout?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const end = text.indexOf("\n");
      if (end >= 0) resolve(text.slice(0, end));
    });
    running.child.once("exit", (code) =>
      reject(new Error(`ended with ${String(code)} before it printed a line`)),
    );
  });
}

/** To the nanosecond, by the scheduler; undefined where the kernel keeps no such count. */
function scheduledUs(pid: number): number | undefined {
  try {
    const tasks = readdirSync(`/proc/${pid}/task`);
    return tasks.reduce(
      (sum, task) =>
        sum +
        Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1e3,
      0,
    );
  } catch {
    return undefined;
  }
}

/** To the tick, 10 ms. */
function tickedUs(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1e6) / TICKS;
}

/** User and system CPU of the processes so far, all threads, microseconds, by the kernel's accounting. */
export function cpuUs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (scheduledUs(pid) ?? tickedUs(pid)), 0);
}

/** Peak resident memory of the processes together, MB. */
export function peakMb(pids: readonly number[]): number {
  const kilobytes = pids.map((pid) =>
    Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0),
  );
  return kilobytes.reduce((sum, each) => sum + each, 0) / 1024;
}

export async function untilAnswers(url: string, withinMs = 30_000): Promise<void> {
  const end = performance.now() + withinMs;
  while (performance.now() < end) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer) {
      await answer.arrayBuffer();
      return;
    }
    await Bun.sleep(50);
  }
  throw new Error(`${url} did not answer within ${withinMs} ms`);
}

export async function freePort(): Promise<number> {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
  const { port } = server;
  await server.stop(true);
  return port ?? 0;
}
