// Puts a model into the index that the embedded engine serves from; the engine sees it with its next request.
// Invariant: readers see the old index or the new one, whole, also when the machine loses power in between.

import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { INDEX_FILE, ModelIndex, type IndexEntry } from "./types.ts";

const EMPTY: ModelIndex = { format: 1, models: {} };

function readIndex(path: string): ModelIndex {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return EMPTY;
    throw error;
  }
  return ModelIndex.parse(JSON.parse(text));
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  fsyncSync(handle);
  closeSync(handle);
}

/** Adds or replaces one name; writes nothing when it is there already. Throws when the index is there and not readable. */
export function indexArtifact(folder: string, name: string, entry: IndexEntry): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, INDEX_FILE);
  const index = readIndex(path);
  const text = `${JSON.stringify({ format: 1, models: { ...index.models, [name]: entry } }, null, 2)}\n`;
  if (text === `${JSON.stringify(index, null, 2)}\n`) return;
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true });
  renameSync(`${path}.new`, path);
  syncFolder(folder);
}
