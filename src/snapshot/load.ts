// The gateway's side: takes signed manifests, fetches the sections it lacks, swaps the reader whole, keeps the last good one on disk.
// Invariants: a lower sequence, a bad signature or a wrong digest never replaces what is served; the disk copy is written
// sections first, manifest last, so a crash leaves the previous one whole.

import { mkdir, readdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { KeyObject } from "node:crypto";
import type { Clock } from "../kit/clock.ts";
import { errorText, type Log } from "../kit/log.ts";
import { openReader } from "./read.ts";
import { decodeSection, digestOf } from "./sections.ts";
import { verifyManifest } from "./sign.ts";
import {
  SECTION_NAMES,
  SNAPSHOT_FORMAT,
  type SectionName,
  type SnapshotData,
  type SnapshotManifest,
  type SnapshotReader,
} from "./types.ts";

export interface SnapshotHolderDeps {
  readonly folder: string;
  readonly publicKey: KeyObject;
  readonly clock: Clock;
  readonly log: Log;
  readonly fetchSection: (digest: string) => Promise<Uint8Array>;
}

export interface SnapshotHolder {
  /** Undefined before the first one, and once the last one is older than its `ageMaxMs`. */
  current(): SnapshotReader | undefined;
  /** Resolves true when the manifest is now served, false when it was refused or already known. */
  offer(manifest: SnapshotManifest): Promise<boolean>;
  /** Called after each swap. */
  onSwap(listener: (reader: SnapshotReader) => void): void;
}

type Decoded = {
  readonly [N in SectionName]: { readonly digest: string; readonly value: SnapshotData[N] };
};

const MANIFEST = "manifest.json";

class Holder implements SnapshotHolder {
  readonly #deps: SnapshotHolderDeps;
  readonly #listeners: ((reader: SnapshotReader) => void)[] = [];
  #reader: SnapshotReader | undefined;
  #decoded: Decoded | undefined;
  /** Fetched, but not yet safely on disk; kept when a write fails, so that the next one makes up for it. */
  readonly #unwritten = new Map<string, Uint8Array>();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(deps: SnapshotHolderDeps) {
    this.#deps = deps;
  }

  current(): SnapshotReader | undefined {
    const reader = this.#reader;
    if (reader === undefined || this.#deps.clock.nowMs() - reader.compiledAtMs > reader.ageMaxMs)
      return undefined;
    return reader;
  }

  onSwap(listener: (reader: SnapshotReader) => void): void {
    this.#listeners.push(listener);
  }

  /** Manifests are taken one after the other, so that swaps keep their order. */
  offer(manifest: SnapshotManifest): Promise<boolean> {
    const taken = this.#queue.then(() => this.#take(manifest, this.#deps.fetchSection, true));
    this.#queue = taken;
    return taken;
  }

  async restore(): Promise<void> {
    const { folder, log } = this.#deps;
    try {
      // Written by us and covered by the signature that #take checks before anything is served.
      const manifest = JSON.parse(
        await readFile(join(folder, MANIFEST), "utf8"),
      ) as SnapshotManifest;
      await this.#take(manifest, (digest) => readFile(join(folder, digest)), false);
    } catch (error) {
      log.info("snapshot.no_disk_copy", { reason: errorText(error) });
    }
  }

  #refusal(manifest: SnapshotManifest): string | undefined {
    if (manifest.format !== SNAPSHOT_FORMAT)
      return `format ${String(manifest.format)} is not ${SNAPSHOT_FORMAT}`;
    if (!verifyManifest(manifest, this.#deps.publicKey)) return "the signature does not verify";
    if (this.#reader && manifest.sequence <= this.#reader.sequence)
      return `sequence ${manifest.sequence} is not above ${this.#reader.sequence}`;
    return undefined;
  }

  async #take(
    manifest: SnapshotManifest,
    fetchSection: (digest: string) => Promise<Uint8Array>,
    persist: boolean,
  ): Promise<boolean> {
    const { log } = this.#deps;
    try {
      const refusal = this.#refusal(manifest);
      if (refusal !== undefined) {
        if (manifest.sequence !== this.#reader?.sequence)
          log.error("snapshot.refused", { sequence: manifest.sequence, reason: refusal });
        return false;
      }
      const decoded = await this.#decode(manifest, fetchSection, persist);
      const data = Object.fromEntries(
        SECTION_NAMES.map((name) => [name, decoded[name].value]),
      ) as unknown as SnapshotData;
      this.#decoded = decoded;
      this.#reader = openReader(manifest, data);
      for (const listener of this.#listeners) listener(this.#reader);
      log.info("snapshot.swapped", { sequence: manifest.sequence });
    } catch (error) {
      log.error("snapshot.failed", { sequence: manifest.sequence, reason: errorText(error) });
      return false;
    }
    if (persist)
      await this.#write(manifest).catch((error: unknown) =>
        log.warn("snapshot.not_on_disk", { reason: errorText(error) }),
      );
    return true;
  }

  /** Sections whose digest did not change are taken over as they are. */
  async #decode(
    manifest: SnapshotManifest,
    fetchSection: (digest: string) => Promise<Uint8Array>,
    persist: boolean,
  ): Promise<Decoded> {
    const entries = await Promise.all(
      SECTION_NAMES.map(async (name) => {
        const digest = manifest.sections[name];
        const known = this.#decoded?.[name];
        if (known?.digest === digest) return [name, known] as const;
        const bytes = await fetchSection(digest);
        if (digestOf(bytes) !== digest)
          throw new Error(`section ${name} does not have the digest that the manifest names`);
        if (persist) this.#unwritten.set(digest, bytes);
        return [name, { digest, value: decodeSection(name, bytes) }] as const;
      }),
    );
    return Object.fromEntries(entries) as unknown as Decoded;
  }

  async #write(manifest: SnapshotManifest): Promise<void> {
    const { folder } = this.#deps;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const replace = async (name: string, bytes: Uint8Array | string) => {
      await writeFile(join(folder, `${name}.new`), bytes, { mode: 0o600, flush: true });
      await rename(join(folder, `${name}.new`), join(folder, name));
    };
    for (const [digest, bytes] of this.#unwritten) {
      await replace(digest, bytes);
      this.#unwritten.delete(digest);
    }
    await replace(MANIFEST, JSON.stringify(manifest));
    const kept = new Set<string>([MANIFEST, ...Object.values(manifest.sections)]);
    for (const name of await readdir(folder)) if (!kept.has(name)) await unlink(join(folder, name));
  }
}

/** Serves the disk copy at once when it verifies; then whatever `offer` brings. */
export async function openSnapshotHolder(deps: SnapshotHolderDeps): Promise<SnapshotHolder> {
  const holder = new Holder(deps);
  await holder.restore();
  return holder;
}
