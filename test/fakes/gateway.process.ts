// The test gateway as a process of its own, so that a test can weigh it. Started by `openGatewayProcess`.

import { openTestGateway, type TestOptions } from "./gateway.ts";

/** What the process says when it is asked. */
export interface Report {
  readonly url: string;
  readonly port: number;
  readonly residentMb: number;
  readonly openStreams: number;
  /** Settled facts so far, by status. */
  readonly settled: Readonly<Record<string, number>>;
}

export interface GatewayProcess {
  readonly port: number;
  report(): Promise<Report>;
  close(): Promise<void>;
}

/** `upstreams`: base URLs. The process ends with `close`, or with whoever opened it. */
export async function openGatewayProcess(
  upstreams: readonly string[],
  options: Pick<TestOptions, "limits"> = {},
): Promise<GatewayProcess> {
  const waiting: ((report: Report) => void)[] = [];
  const child = Bun.spawn(
    [process.execPath, import.meta.path, JSON.stringify(upstreams), JSON.stringify(options)],
    {
      stdio: ["ignore", "ignore", "inherit"],
      env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "4096" },
      // The process below sends nothing but reports.
      ipc: (message) => waiting.shift()?.(message as Report),
    },
  );
  const report = () =>
    new Promise<Report>((resolve) => {
      waiting.push(resolve);
      child.send("report");
    });
  const { port } = await report();
  return {
    port,
    report,
    close: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

function serve(upstreams: string, options: string): void {
  const gate = openTestGateway(JSON.parse(upstreams), JSON.parse(options));
  process.on("message", () => {
    const settled: Record<string, number> = {};
    for (const { status } of gate.facts()) settled[status] = (settled[status] ?? 0) + 1;
    process.send?.({
      url: gate.url,
      port: gate.server.port,
      residentMb: process.memoryUsage.rss() / 1e6,
      openStreams: gate.server.openStreams(),
      settled,
    } satisfies Report);
  });
  process.on("disconnect", () => process.exit(0));
}

if (import.meta.main) serve(process.argv[2] ?? "[]", process.argv[3] ?? "{}");
