// Our gateway process alone, for profiling: the real walk and journal (with fsync) over a literal snapshot, no control plane.
// Run by `main.ts --alone`, or by hand under a profiler: `bun --cpu-prof bench/gateway/hot-path.ts FOLDER PORT…` (mock.ts's ports).

import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { openJournal, type Journal } from "../../src/gateway/journal/journal.ts";
import { openLines, openObserver } from "../../src/gateway/observe.ts";
import { systemClock } from "../../src/kit/clock.ts";
import { realFiles } from "../../src/kit/file-port.ts";
import { silentLog } from "../../src/kit/log.ts";
import { openMetrics } from "../../src/kit/metrics.ts";
import { openTestGateway, tokenOf } from "../../test/fakes/gateway.ts";

/** Far above what one process can do, so that limits are kept but refuse nothing. */
const PLENTY = {
  requestsPerMinute: 9_000_000,
  tokensPerMinute: 900_000_000_000,
  concurrentStreams: 100_000,
};

/** Segments go as soon as they are sealed, as if control had acknowledged them at once. */
function ship(journal: Journal): void {
  let shipping = false;
  const shipAll = async () => {
    shipping = true;
    for (let sealed = journal.pending()[0]; sealed !== undefined; sealed = journal.pending()[0]) {
      await journal.read(sealed);
      await journal.committed(sealed.header.sequence);
    }
    shipping = false;
  };
  journal.onSealed(() => {
    if (!shipping) void shipAll();
  });
}

async function main(): Promise<void> {
  const [folder = "", ...ports] = process.argv.slice(2);
  const journal = await openJournal({
    folder: join(folder, "journal"),
    gateway: "gw_00000000000000000000000000",
    lane: 0,
    epoch: 1,
    files: realFiles,
    clock: systemClock,
    log: silentLog,
  });
  ship(journal);
  const lines = openLines((text) => appendFileSync(join(folder, "access.log"), text));
  const gateway = openTestGateway(
    ports.map((port) => `http://127.0.0.1:${port}/v1`),
    {
      models: ["mock", "mock-stream-1", "mock-stream-4", "mock-stream-16"],
      tenant: { limits: PLENTY, monthlySpendLimitPico: 10n ** 24n },
      deps: {
        journal,
        leases: { reserve: () => true, settle: () => {}, remaining: () => 7n },
        observe: openObserver({
          metrics: openMetrics(),
          nowMs: systemClock.nowMs,
          accessLog: lines.add,
        }),
      },
    },
  );
  process.stdout.write(`${JSON.stringify({ url: gateway.url, token: tokenOf("live") })}\n`);
  process.once("SIGTERM", () => {
    void gateway
      .close()
      .then(() => journal.close())
      .then(() => process.exit(0));
  });
}

await main();
