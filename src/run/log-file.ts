// A role's output in a file of bounded size: full files move to `.1`, `.2` …, the oldest goes.
// Invariant: at most (kept + 1) × bytesMax bytes a role on disk, however long it runs.

import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";

export interface LogFile {
  readonly path: string;
  write(bytes: Uint8Array | string): void;
  /** The last lines, for a message about a role that does not start. */
  tail(): readonly string[];
  close(): void;
}

const BYTES_MAX = 10 * 1024 * 1024;
const KEPT = 3;
const TAIL_LINES = 5;

export function openLogFile(path: string, bytesMax = BYTES_MAX, kept = KEPT): LogFile {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  let file = openSync(path, "a", 0o600);
  let size = fstatSync(file).size;
  let last: string[] = [];
  const rotate = () => {
    closeSync(file);
    rmSync(`${path}.${kept}`, { force: true });
    for (let number = kept - 1; number >= 1; number -= 1)
      moveIfThere(`${path}.${number}`, `${path}.${number + 1}`);
    moveIfThere(path, `${path}.1`);
    file = openSync(path, "a", 0o600);
    size = 0;
  };
  return {
    path,
    write: (bytes) => {
      const buffer = Buffer.from(bytes);
      if (size > 0 && size + buffer.length > bytesMax) rotate();
      size += writeSync(file, buffer);
      last = [
        ...last,
        ...buffer
          .toString()
          .split("\n")
          .filter((line) => line !== ""),
      ].slice(-TAIL_LINES);
    },
    tail: () => last,
    close: () => closeSync(file),
  };
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}
