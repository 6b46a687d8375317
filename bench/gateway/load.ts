// Load by Debian's wrk: one thread, keep-alive, a fixed body; prints its figures as one JSON line from its `done` hook.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Target {
  readonly name: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Processes whose CPU and memory count. */
  readonly pids: readonly number[];
}

export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
  readonly seconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

const PROMPT =
  "Tell me about the lantern at the end of the quay, who lit it and why it never went out. ".repeat(
    9,
  );

function script(target: Target, model: string): string {
  const body = JSON.stringify({
    model,
    stream: model !== "mock",
    max_tokens: 200,
    messages: [{ role: "user", content: PROMPT }],
  });
  const headers = Object.entries({ "content-type": "application/json", ...target.headers });
  return `wrk.method = "POST"
wrk.body = ${JSON.stringify(body)}
${headers.map(([name, value]) => `wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`).join("\n")}
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('JSON {"requests":%d,"errors":%d,"seconds":%.6f,"p50Us":%d,"p99Us":%d}\\n', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout, summary.duration / 1e6, latency:percentile(50), latency:percentile(99)))
end
`;
}

/** Runs wrk for a bounded time against a loopback target. */
export async function runLoad(
  folder: string,
  target: Target,
  model: string,
  connections: number,
  seconds: number,
): Promise<LoadResult> {
  const file = join(folder, `${target.name}-${model}.lua`);
  writeFileSync(file, script(target, model));
  const command = [
    "wrk",
    "-t1",
    `-c${connections}`,
    `-d${seconds}s`,
    "--timeout",
    "10s",
    "-s",
    file,
    `${target.url}/chat/completions`,
  ];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  const line = /^JSON (.*)$/m.exec(text)?.[1];
  if (line === undefined) throw new Error(`wrk gave no figures for ${target.name}:\n${text}`);
  // wrk's done hook above writes exactly these fields.
  const result = JSON.parse(line) as LoadResult;
  if (result.errors > 0)
    throw new Error(`${target.name}: ${result.errors} of ${result.requests} requests failed`);
  return result;
}
