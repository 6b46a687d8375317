// What the fixture's reads answer, each worked out from the rows of the World.

import type * as Api from "../../console/api.types.ts";
import { toPico } from "../../console/format.ts";
import { formatDecimal } from "../../src/kit/money.ts";
import { rateOf, type World } from "./fixtures.ts";

/** As the ledger counts them: a caller who left is no failure. */
export const isFailure = (row: Api.RequestRow) => !["ok", "caller_left"].includes(row.status);

function sumOf(rows: readonly Api.RequestRow[]): Api.Usage["total"] {
  const sum = (read: (row: Api.RequestRow) => number) =>
    rows.reduce((total, row) => total + read(row), 0);
  return {
    requests: rows.length,
    failures: rows.filter(isFailure).length,
    inputTokens: sum((row) => row.inputTokens),
    cachedInputTokens: 0,
    outputTokens: sum((row) => row.outputTokens),
    amount: formatDecimal(rows.reduce((total, row) => total + toPico(row.amount), 0n)),
  };
}

function percentile(rows: readonly Api.RequestRow[], part: number): number | null {
  const values = rows
    .flatMap((row) => (row.firstByteMs === null ? [] : [row.firstByteMs]))
    .sort((a, b) => a - b);
  return values[Math.min(values.length - 1, Math.floor(values.length * part))] ?? null;
}

export function overviewOf(world: World, minutes: number): Api.Overview {
  const fromMs = world.nowMs - minutes * 60_000;
  const rows = world.requests.filter((row) => Date.parse(row.at) >= fromMs);
  const byMinute = Map.groupBy(rows, (row) => `${row.at.slice(0, 16)}:00.000Z`);
  const speeds = (some: readonly Api.RequestRow[]) => ({
    firstByteP50Ms: percentile(some, 0.5),
    firstByteP95Ms: percentile(some, 0.95),
  });
  return {
    asOf: new Date(world.nowMs).toISOString(),
    series: [...byMinute].map(([minute, some]) => ({ minute, ...sumOf(some), ...speeds(some) })),
    totals: sumOf(rows),
    ...speeds(rows),
  };
}

export function usageOf(world: World, query: URLSearchParams): Api.Usage {
  const rows = matching(world, query);
  const project = (name: string) => world.projects.find((one) => one.name === name)?.id ?? name;
  const engine = (name: string) => world.upstreams.find((one) => one.name === name)?.id ?? name;
  const groups: Readonly<Record<string, (row: Api.RequestRow) => [group: string, label: string]>> =
    {
      model: (row) => [row.model, row.model],
      project: (row) => [project(row.project), row.project],
      key: (row) => [row.keyId, row.keyName],
      engine: (row) => [engine(row.engine), row.engine],
      day: (row) => [row.at.slice(0, 10), row.at.slice(0, 10)],
    };
  const groupOf =
    groups[query.get("groupBy") ?? "model"] ??
    ((row: Api.RequestRow): [string, string] => [row.model, row.model]);
  const grouped = Map.groupBy(rows, (row) => groupOf(row).join("\n"));
  const lines = [...grouped].map(([name, some]) => ({
    group: name.split("\n")[0] ?? "",
    label: name.split("\n")[1] ?? "",
    ...sumOf(some),
  }));
  return {
    rows: lines.sort((a, b) => Number(toPico(b.amount) - toPico(a.amount))),
    total: sumOf(rows),
  };
}

export function matching(world: World, query: URLSearchParams): Api.RequestRow[] {
  const wanted = (name: string, value: string) => [null, value].includes(query.get(name));
  const engineName = world.upstreams.find((one) => one.id === query.get("engineId"))?.name;
  const projectName = world.projects.find((one) => one.id === query.get("projectId"))?.name;
  return world.requests.filter(
    (row) =>
      (query.get("status") === "failures" ? isFailure(row) : wanted("status", row.status)) &&
      wanted("model", row.model) &&
      wanted("keyId", row.keyId) &&
      [undefined, row.engine].includes(engineName) &&
      [undefined, row.project].includes(projectName) &&
      row.at >= (query.get("from") ?? "") &&
      row.at < (query.get("to") ?? "9"),
  );
}

type Meter = Api.AttemptDetail["priceLines"][number]["meter"];

export function detailOf(world: World, requestId: string): Api.RequestDetail | undefined {
  const row = world.requests.find((one) => one.requestId === requestId);
  if (!row) return undefined;
  const [input, output] = rateOf(row.model);
  const line = (meter: Meter, quantity: number, rate: bigint) => ({
    meter,
    quantity,
    perMillion: formatDecimal(rate * 1_000_000n),
    amount: formatDecimal(BigInt(quantity) * rate),
  });
  const failed = row.priceVersionId === null;
  return {
    requestId,
    attempts: [
      {
        ...row,
        upstreamRequestId: "chatcmpl-8f1c02d4a7",
        quantities: failed
          ? []
          : [
              { meter: "input_tokens", amount: row.inputTokens, source: "reported" },
              {
                meter: "output_tokens",
                amount: row.outputTokens,
                source: row.status === "ok" ? "reported" : "counted",
              },
            ],
        priceLines: failed
          ? []
          : [
              line("input_tokens", row.inputTokens, input),
              line("output_tokens", row.outputTokens, output),
            ],
        posting: {
          gateway: "gw_01kb2000000000000000000a1b",
          lane: 0,
          sequence: 118,
          index: 7,
          segmentDigest: "b1946ac92492d2347c6235b4d2611184".repeat(2),
        },
      },
    ],
  };
}

export function checklistOf(empty: boolean): Api.Checklist {
  const item = (id: Api.ChecklistId, done: boolean) => ({
    id,
    done,
    at: done ? "2026-11-24T09:12:00.000Z" : null,
  });
  return {
    items: [
      item("signed-in", true),
      item("first-call", !empty),
      item("upstream-added", false),
      item("key-made", !empty),
    ],
    apiBaseUrl: "http://localhost:4100/v1",
  };
}

export function systemOf(world: World): Api.SystemInfo {
  const at = new Date(world.nowMs).toISOString();
  const gateway = (slot: number, state: "up" | "late") => ({
    id: `gw_01kb200000000000000000${slot}a1b`,
    epoch: 3,
    cell: "local",
    address: "http://127.0.0.1:4100",
    productVersion: "0.1.0",
    openedAt: at,
    seenAt: at,
    state,
  });
  return {
    version: "0.1.0",
    startedAt: at,
    apiBaseUrl: "http://localhost:4100/v1",
    exposure: { kind: "loopback", host: "127.0.0.1", detail: "Reachable from this machine only." },
    migrations: {
      applied: ["0001_identity_orgs", "0002_identity_keys", "0003_audit_log"],
      pending: [],
    },
    snapshot: { sequence: 42, compiledAt: at },
    gateways: [gateway(0, "up"), gateway(1, "late")],
  };
}

export function auditOf(world: World): Api.AuditEntry[] {
  const actions = ["keys.create", "upstreams.add", "prices.set", "projects.change", "keys.revoke"];
  return actions.map((action, index) => ({
    index: 118 - index,
    at: new Date(world.nowMs - index * 3_600_000).toISOString(),
    actor: world.keys[4]?.id ?? "key_1",
    action,
    subject: `key_01kb20000000000000000000${index}`,
    details: {},
  }));
}
