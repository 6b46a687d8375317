// The gateway role: snapshot, journal, leases and load from the uplink; the walk in front of them. It knows no database.
// Invariant: it starts and serves from its own disk when control is away; nothing on its disk opens without the master key.

import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import packageJson from "../../../package.json" with { type: "json" };
import type { Config } from "../../config.ts";
import { openJournal, type Journal } from "../../gateway/journal/journal.ts";
import { openLeaseHolder } from "../../gateway/leases/holder.ts";
import { openLines, openObserver } from "../../gateway/observe.ts";
import { openGateway } from "../../gateway/server.ts";
import { DEFAULT_LIMITS } from "../../gateway/types.ts";
import { openEgress } from "../../gateway/upstreams/egress.ts";
import { openUpstreamClient } from "../../gateway/upstreams/openai/client.ts";
import { systemClock as clock, systemDice as dice } from "../../kit/clock.ts";
import { realFiles } from "../../kit/file-port.ts";
import { asId, makeId } from "../../kit/id.ts";
import { errorText, type Log } from "../../kit/log.ts";
import { openMetrics, type Metrics } from "../../kit/metrics.ts";
import { openHmac } from "../../kit/secret.ts";
import { openSnapshotHolder, type SnapshotHolder } from "../../snapshot/load.ts";
import { createUplinkClient } from "../../uplink/client.ts";
import { openLoadPublisher } from "../../uplink/channels/load-publisher.ts";
import { openUplink, type GatewayUplink } from "../../uplink/gateway.ts";
import { openLoadLedger, type LoadLedger } from "../../zones/routing/load.state.ts";
import { openCredential } from "../../zones/topology/credential.rules.ts";
import { replaceFile } from "../data-dir.ts";
import { openClosers, type StartRole } from "../role.ts";
import { readKeys, type Keys } from "./foundation.ts";
import { controlUrl, gatewayUrl, metricsGuard, tlsOf } from "./listen.ts";

/** Chosen once for a gateway's folder; the epoch is the newest that control gave it. */
const Identity = z.object({
  gateway: z.string().regex(/^gw_[0-9a-z]{26}$/),
  epoch: z.int().min(0),
});
type Identity = z.infer<typeof Identity>;

/** How long a start without a snapshot on disk waits for control to send one. */
const CONTROL_WAIT_MS = 20_000;
const UPSTREAM_HEAD_TIMEOUT_MS = 120_000;
const GOODBYE_MS = 3_000;

function openIdentity(folder: string) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, "identity.json");
  let identity: Identity = existsSync(path)
    ? Identity.parse(JSON.parse(readFileSync(path, "utf8")))
    : { gateway: makeId("gw", clock, dice), epoch: 0 };
  const save = (epoch: number) => {
    identity = { ...identity, epoch };
    replaceFile(path, `${JSON.stringify(identity)}\n`);
  };
  save(identity.epoch);
  return { ...identity, save };
}

function upstreamClient(keys: Keys) {
  const key = keys.derived("credential");
  return openUpstreamClient({
    egress: openEgress(clock.nowMs),
    headTimeoutMs: UPSTREAM_HEAD_TIMEOUT_MS,
    unseal: (engineId, sealed) => {
      const plain = openCredential(key, asId<"engine">(engineId), Buffer.from(sealed, "base64"));
      if (plain === undefined) throw new Error("the stored credential does not open");
      return plain;
    },
  });
}

function unreadyReasons(
  holder: SnapshotHolder,
  journal: Pick<Journal, "healthy" | "full">,
  uplink: GatewayUplink,
): readonly string[] {
  return [
    ...(holder.current() === undefined ? ["no snapshot that is young enough"] : []),
    ...(journal.healthy ? [] : ["the journal cannot be written"]),
    ...(journal.full ? ["the journal is full: control has not taken what is in it"] : []),
    ...(uplink.status().laneStopped ? ["control refused this gateway's journal"] : []),
  ];
}

function observeState(
  metrics: Metrics,
  holder: SnapshotHolder,
  journal: Pick<Journal, "bytes">,
  uplink: GatewayUplink,
): void {
  const { observed } = metrics;
  observed("intertie_uplink_connected", "1 while control is heard.", () =>
    Number(uplink.status().connected),
  );
  observed(
    "intertie_journal_pending_segments",
    "Sealed segments that control has not confirmed.",
    () => uplink.status().pendingSegments,
  );
  observed(
    "intertie_journal_bytes",
    "The journal on this disk; above INTERTIE_JOURNAL_BYTES_MAX requests are refused.",
    () => journal.bytes,
  );
  observed(
    "intertie_snapshot_sequence",
    "The snapshot that is served.",
    () => holder.current()?.sequence ?? 0,
  );
  observed("intertie_snapshot_age_seconds", "Since it was compiled.", () => {
    const compiledAtMs = holder.current()?.compiledAtMs;
    return compiledAtMs === undefined ? -1 : Math.max(0, (clock.nowMs() - compiledAtMs) / 1000);
  });
}

/** A gateway without any would refuse its first callers; false when none came. */
function firstSnapshot(holder: SnapshotHolder): Promise<boolean> {
  const swapped = new Promise<boolean>((resolve) => holder.onSwap(() => resolve(true)));
  return Promise.race([swapped, Bun.sleep(CONTROL_WAIT_MS).then(() => false)]);
}

/** What is open on each engine, told to the other gateways of the cell and heard from them. */
function shareLoad(
  config: Config,
  gateway: string,
  load: LoadLedger,
  uplink: GatewayUplink,
): () => void {
  const { feed } = uplink;
  const unsubscribe = feed.subscribe((delta) => load.absorb(delta, clock.monotonicMs()));
  const cell = config.INTERTIE_CELL;
  const epoch = () => uplink.status().epoch;
  const publisher = openLoadPublisher({ feed, own: load.own, cell, gateway, epoch, clock });
  return () => {
    unsubscribe();
    publisher.close();
  };
}

/** Opens what lies on this gateway's disk, and the uplink above it. */
async function openGround(config: Config, keys: Keys, log: Log) {
  const folder = join(config.dataDir, "gateways", String(config.INTERTIE_SLOT));
  const identity = openIdentity(folder);
  const { gateway } = identity;
  const client = createUplinkClient({
    controlUrl: config.INTERTIE_CONTROL_URL ?? controlUrl(config),
    key: keys.derived("uplink"),
    gateway,
  });
  const holder = await openSnapshotHolder({
    folder: join(folder, "snapshot"),
    publicKey: keys.signing.publicKey,
    clock,
    log,
    fetchSection: client.fetchSection,
  });
  const journal = await openJournal({
    folder: join(folder, "journal"),
    gateway,
    lane: 0,
    epoch: identity.epoch,
    bytesMax: config.INTERTIE_JOURNAL_BYTES_MAX,
    files: realFiles,
    clock,
    log,
  });
  const uplink = await openUplink({
    client,
    about: {
      cell: config.INTERTIE_CELL,
      address: gatewayUrl(config),
      productVersion: packageJson.version,
    },
    journal,
    offer: (manifest) => holder.offer(manifest),
    saveEpoch: (epoch) => Promise.resolve(identity.save(epoch)),
    clock,
    dice,
    log,
  });
  return { gateway, holder, journal, uplink };
}

export const startGateway: StartRole = async (config, log) => {
  const keys = readKeys(config);
  const closers = openClosers(log);
  const { gateway, holder, journal, uplink } = await openGround(config, keys, log);
  closers.defer("uplink", () => uplink.close(GOODBYE_MS));
  closers.defer("journal", () => journal.close());
  const leases = openLeaseHolder({ source: uplink.leases, clock });
  closers.defer("leases", () => leases.close());
  const load = openLoadLedger(config.INTERTIE_CELL);
  closers.defer("load feed", shareLoad(config, gateway, load, uplink));
  const metrics = openMetrics();
  const lines = openLines((text) => void process.stdout.write(text));
  closers.defer("access log", () => lines.close());
  observeState(metrics, holder, journal, uplink);
  if (holder.current() === undefined && !(await firstSnapshot(holder)))
    log.warn("gateway.without_snapshot", { gateway });
  const server = openGateway(
    {
      snapshot: () => holder.current(),
      tokenHmac: openHmac(keys.derived("key-hmac")),
      journal,
      leases,
      load,
      upstream: upstreamClient(keys),
      clock,
      dice,
      log,
      observe: openObserver({
        metrics,
        nowMs: clock.nowMs,
        accessLog: config.INTERTIE_ACCESS_LOG ? lines.add : undefined,
      }),
      limits: DEFAULT_LIMITS,
    },
    {
      host: config.INTERTIE_HOST,
      port: config.INTERTIE_GATEWAY_PORT,
      ...tlsOf(config),
      metrics,
      mayReadMetrics: metricsGuard(config),
      unready: () => unreadyReasons(holder, journal, uplink),
    },
  );
  closers.defer("server", () =>
    server
      .drain(config.INTERTIE_DRAIN_MAX_S * 1000)
      .catch((error: unknown) => log.error("gateway.drain_failed", { reason: errorText(error) })),
  );
  return { stop: closers.closeAll };
};
