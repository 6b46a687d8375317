// A gateway's end of the uplink for tests: the real journal and snapshot holder in a folder of their own.

import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openJournal } from "../../src/gateway/journal/journal.ts";
import { systemClock, systemDice } from "../../src/kit/clock.ts";
import { realFiles } from "../../src/kit/file-port.ts";
import type { Log, LogFields } from "../../src/kit/log.ts";
import { openSnapshotHolder } from "../../src/snapshot/load.ts";
import { createUplinkClient } from "../../src/uplink/client.ts";
import { openUplink } from "../../src/uplink/gateway.ts";
import { newGateway, signingKeys, uplinkKey } from "./control.ts";

/** A log whose lines can be awaited. */
export function eventLog() {
  const lines: { readonly event: string; readonly fields: LogFields }[] = [];
  let waiters: (() => void)[] = [];
  const emit = (event: string, fields: LogFields = {}) => {
    lines.push({ event, fields });
    for (const wake of waiters.splice(0)) wake();
  };
  const log: Log = { debug: emit, info: emit, warn: emit, error: emit, child: () => log };
  /** The `count`th line of this event, past or to come. */
  const seen = async (event: string, count = 1): Promise<LogFields> => {
    for (;;) {
      const found = lines.filter((line) => line.event === event)[count - 1];
      if (found) return found.fields;
      await new Promise<void>((resolve) => waiters.push(resolve));
    }
  };
  const count = (event: string) => lines.filter((line) => line.event === event).length;
  return { log, seen, count, lines };
}

export interface GatewayOptions {
  readonly gateway?: string;
  readonly folder?: string;
  readonly cell?: string;
  readonly key?: Uint8Array;
}

export async function openGateway(controlUrl: string, options: GatewayOptions = {}) {
  const { gateway = newGateway(), cell = "local", key = uplinkKey } = options;
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "uplink-")));
  const events = eventLog();
  const { log } = events;
  const clock = systemClock;
  const client = createUplinkClient({ controlUrl, key, gateway });
  const snapshot = await openSnapshotHolder({
    folder: join(folder, "snapshot"),
    publicKey: signingKeys.publicKey,
    clock,
    log,
    fetchSection: client.fetchSection,
  });
  const journal = await openJournal({
    folder: join(folder, "journal"),
    gateway,
    lane: 0,
    epoch: 0,
    files: realFiles,
    clock,
    log,
  });
  const saved: number[] = [];
  const uplink = await openUplink({
    client,
    about: { cell, address: "http://127.0.0.1:4100", productVersion: "0.1.0" },
    journal,
    offer: (manifest) => snapshot.offer(manifest),
    saveEpoch: async (epoch) => void saved.push(epoch),
    clock,
    dice: systemDice,
    log,
  });
  return {
    gateway,
    folder,
    events,
    client,
    snapshot,
    journal,
    uplink,
    saved,
    /** Everything sealed is with control and gone from here. */
    shipped: async () => {
      await journal.seal();
      while (journal.pending().length > 0)
        await events.seen("uplink.shipped", events.count("uplink.shipped") + 1);
    },
    /** As a process ends properly. */
    stop: async (withinMs = 3_000) => {
      await journal.close();
      await uplink.close(withinMs);
    },
  };
}
export type Gateway = Awaited<ReturnType<typeof openGateway>>;
