// Control's own /healthz, /readyz and /metrics. Ready means: it can keep its promises, which needs the database and a snapshot.
// Invariant: beyond loopback the metrics need a credential; a probe answers within seconds whatever the database does.

import { sql } from "kysely";
import type { Config } from "../../config.ts";
import type { Handler } from "../../http/server.ts";
import type { Principal } from "../../http/types.ts";
import { beforeDeadline } from "../../kit/deadline.ts";
import { Fault } from "../../kit/fault.ts";
import type { Counter, Gauge, Metrics } from "../../kit/metrics.ts";
import type { Publisher } from "../../snapshot/publish.ts";
import type { Foundation } from "./foundation.ts";
import { metricsGuard } from "./listen.ts";

export interface Probes {
  readonly handler: Handler;
  readonly compileFailures: Counter;
  watch(publisher: Pick<Publisher, "latest">): void;
}

const ANSWER_MAX_MS = 2_000;

interface Backlog {
  readonly unposted: string;
  readonly frozen: string;
  readonly outbox: string;
  readonly gateways: string;
}

const BACKLOG = sql<Backlog>`select
  (select coalesce(sum(received - posted), 0) from ledger_cursors) as unposted,
  (select count(*) from ledger_cursors where frozen_reason is not null) as frozen,
  (select count(*) from audit_outbox) as outbox,
  (select count(*) from gateways where left_at is null and seen_at > now() - interval '10 seconds') as gateways`;

function gaugesOf(metrics: Metrics): Readonly<Record<keyof Backlog, Gauge>> {
  return {
    unposted: metrics.gauge("intertie_ledger_unposted_segments", "Received and not yet posted."),
    frozen: metrics.gauge("intertie_ledger_frozen_lanes", "Lanes that an operator has to look at."),
    outbox: metrics.gauge("intertie_audit_outbox", "Audit entries without a number yet."),
    gateways: metrics.gauge("intertie_gateways", "Gateways heard from in the last 10 s."),
  };
}

const inTime = <T>(work: Promise<T>): Promise<T> =>
  beforeDeadline(work, ANSWER_MAX_MS, () => {
    throw new Error("no answer in time");
  });

export function createProbes(
  foundation: Foundation,
  metrics: Metrics,
  authenticate: (request: Request) => Promise<Principal>,
  config: Config,
): Probes {
  const { db } = foundation.database;
  const gauges = gaugesOf(metrics);
  const mayRead = metricsGuard(config);
  let latest: Publisher["latest"] = () => undefined;
  metrics.observed(
    "intertie_snapshot_sequence",
    "The newest snapshot that was published.",
    () => latest()?.sequence ?? 0,
  );
  const readBacklog = async () => {
    const { rows } = await inTime(BACKLOG.execute(db));
    const [row] = rows;
    if (row === undefined) return;
    for (const name of ["unposted", "frozen", "outbox", "gateways"] as const)
      gauges[name].set(Number(row[name]));
  };
  const ready = async () => {
    const database = await inTime(sql`select 1`.execute(db)).then(
      () => [],
      () => ["the database does not answer"],
    );
    const reasons = [...database, ...(latest() === undefined ? ["no snapshot was published"] : [])];
    const status = reasons.length === 0 ? 200 : 503;
    return Response.json({ ready: reasons.length === 0, reasons }, { status });
  };
  const render = async (request: Request) => {
    if (!mayRead(request)) {
      const { permissions } = await authenticate(request);
      if (!permissions.has("system.read"))
        throw new Fault("permission.denied", {
          message: "metrics need the permission system.read",
        });
    }
    await readBacklog().catch(() => {});
    return new Response(metrics.render(), {
      headers: { "content-type": "text/plain; version=0.0.4" },
    });
  };
  return {
    compileFailures: metrics.counter(
      "intertie_snapshot_compile_failures_total",
      "Failed compiles.",
    ),
    watch: (publisher) => void (latest = publisher.latest),
    handler: (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/healthz") return new Response("ok\n");
      if (pathname === "/readyz") return ready();
      return pathname === "/metrics" ? render(request) : undefined;
    },
  };
}
