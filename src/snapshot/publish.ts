// The control side: watches for changes, compiles, signs and publishes; one number per snapshot, from Postgres, never going back.
// Invariants: rows, number and manifest come from one transaction; a failed compile keeps the old snapshot and raises an alarm.

import type { KeyObject } from "node:crypto";
import type { Kysely } from "kysely";
import type { DB } from "../db/schema.gen.ts";
import type { Clock } from "../kit/clock.ts";
import { errorText, type Log } from "../kit/log.ts";
import type { Counter } from "../kit/metrics.ts";
import { compile } from "./compile.ts";
import type { SnapshotRows } from "./rows.types.ts";
import { digestOf, encodeSection } from "./sections.ts";
import { signManifest } from "./sign.ts";
import {
  deleteOld,
  insertManifest,
  nextSequence,
  selectChanged,
  selectLatest,
  selectRows,
  selectSection,
  type Published,
} from "./store.ts";
import {
  SECTION_NAMES,
  SNAPSHOT_FORMAT,
  type SectionName,
  type SnapshotManifest,
} from "./types.ts";

export interface PublisherDeps {
  readonly db: Kysely<DB>;
  readonly privateKey: KeyObject;
  readonly clock: Clock;
  readonly log: Log;
  readonly failures: Counter;
  readonly ageMaxMs: number;
}

export interface Publisher {
  latest(): SnapshotManifest | undefined;
  section(digest: string): Promise<Uint8Array | undefined>;
  onPublish(listener: (manifest: SnapshotManifest) => void): void;
  /** The rows behind the newest snapshot, for control's own decisions (limits of leases). */
  rows(): SnapshotRows | undefined;
  /** Looks once; true when a new snapshot was published. */
  poll(): Promise<boolean>;
  close(): Promise<void>;
}

/** Changes are seen within this; key revocation promises 5 s. */
const POLL_MS = 200;
/** A snapshot is published anew after this share of its life, so that connected gateways never come near the end of it. */
const REFRESH_SHARE = 0.25;
const MANIFESTS_KEPT = 3;

class SnapshotPublisher implements Publisher {
  readonly #deps: PublisherDeps;
  readonly #listeners: ((manifest: SnapshotManifest) => void)[] = [];
  #latest: Published | undefined;
  #rows: SnapshotRows | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<boolean> = Promise.resolve(false);
  #closed = false;

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
  }

  latest = () => this.#latest?.manifest;
  rows = () => this.#rows;
  section = (digest: string) => selectSection(this.#deps.db, digest);
  onPublish = (listener: (manifest: SnapshotManifest) => void) =>
    void this.#listeners.push(listener);

  poll(): Promise<boolean> {
    this.#running = this.#running.then(() => this.#look());
    return this.#running;
  }

  async start(): Promise<void> {
    this.#latest = await selectLatest(this.#deps.db);
    await this.poll();
    this.#schedule();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.poll().then(() => this.#schedule()), POLL_MS);
  }

  async #look(): Promise<boolean> {
    const { db, clock, log, failures } = this.#deps;
    try {
      const latest = this.#latest;
      const ageMs = clock.nowMs() - (latest?.manifest.compiledAtMs ?? 0);
      const due =
        !latest ||
        this.#rows === undefined ||
        ageMs > this.#deps.ageMaxMs * REFRESH_SHARE ||
        (await selectChanged(db)) > latest.changed;
      if (!due) return false;
      const { published, rows } = await this.#publish();
      this.#latest = published;
      this.#rows = rows;
    } catch (error) {
      failures.add();
      log.error("snapshot.compile_failed", {
        reason: errorText(error),
        serving: this.#latest?.manifest.sequence,
      });
      return false;
    }
    for (const listener of this.#listeners) listener(this.#latest.manifest);
    return true;
  }

  async #publish(): Promise<{ readonly published: Published; readonly rows: SnapshotRows }> {
    const { db, clock, log, privateKey, ageMaxMs } = this.#deps;
    return db
      .transaction()
      .setIsolationLevel("repeatable read")
      .execute(async (trx) => {
        const changed = await selectChanged(trx);
        const rows = await selectRows(trx);
        const data = compile(rows);
        const bodies = SECTION_NAMES.map((name) => [name, encodeSection(name, data)] as const);
        const named = bodies.map(([name, bytes]) => [name, digestOf(bytes), bytes] as const);
        const manifest = signManifest(
          {
            format: SNAPSHOT_FORMAT,
            sequence: await nextSequence(trx),
            compiledAtMs: clock.nowMs(),
            ageMaxMs,
            // Built from SECTION_NAMES, so every name is there.
            sections: Object.fromEntries(named.map(([name, digest]) => [name, digest])) as Record<
              SectionName,
              string
            >,
          },
          privateKey,
        );
        await insertManifest(
          trx,
          { manifest, changed },
          new Map(named.map(([, digest, bytes]) => [digest, bytes])),
        );
        await deleteOld(trx, MANIFESTS_KEPT);
        log.info("snapshot.published", {
          sequence: manifest.sequence,
          keys: data.keys.length,
          models: data.models.length,
        });
        return { published: { manifest, changed }, rows };
      });
  }
}

/** Resolves after the first look, so that `latest()` has a value unless the compile failed. */
export async function openPublisher(deps: PublisherDeps): Promise<Publisher> {
  const publisher = new SnapshotPublisher(deps);
  await publisher.start();
  return publisher;
}
