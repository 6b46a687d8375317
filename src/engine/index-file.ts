// What the engine serves, by name: `models.json`, looked at anew whenever it has changed.
// Invariant: a file that cannot be read or is not valid leaves what was known before in force.

import { readFileSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { errorText, type Log } from "../kit/log.ts";
import { INDEX_FILE, ModelIndex, type IndexEntry } from "../models/artifacts/types.ts";

export interface Served extends IndexEntry {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
}

export interface IndexReader {
  find(name: string): Served | undefined;
  list(): readonly Served[];
  /** Seconds since 1970 of the last change. */
  readonly changedAtS: number;
}

export function openIndexReader(folder: string, log: Log): IndexReader {
  const path = resolve(folder, INDEX_FILE);
  let seen = "";
  let changedAtS = 0;
  let models = new Map<string, Served>();
  const refresh = () => {
    try {
      const stat = statSync(path);
      // Replacing a file gives it another inode, also within one tick of the clock.
      const mark = `${stat.mtimeMs} ${stat.ino} ${stat.size}`;
      if (mark === seen) return;
      seen = mark;
      changedAtS = Math.floor(stat.mtimeMs / 1000);
      const index = ModelIndex.parse(JSON.parse(readFileSync(path, "utf8")));
      models = new Map(
        Object.entries(index.models).map(([name, entry]) => [
          name,
          { ...entry, name, path: resolve(folder, entry.file) },
        ]),
      );
    } catch (error) {
      // Before the first set-up there is none.
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
      log.warn("engine.index_unreadable", { path, reason: errorText(error).slice(0, 300) });
    }
  };
  return {
    find: (name) => {
      refresh();
      return models.get(name);
    },
    list: () => {
      refresh();
      return [...models.values()];
    },
    get changedAtS() {
      return changedAtS;
    },
  };
}
