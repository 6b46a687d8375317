// The few file operations that a journal needs, as a port, so that tests can cut the power (see file-port.faulty.ts).
// Invariant: after `sync`, `replace` or `makeFolder` resolves, the effect survives a power loss; an `append` alone may not.

import { constants } from "node:fs";
import { mkdir, open, readdir, readFile, rename, truncate, unlink } from "node:fs/promises";
import { dirname } from "node:path";

export interface AppendFile {
  append(bytes: Uint8Array): Promise<void>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface FilePort {
  makeFolder(path: string): Promise<void>;
  /** Creates the file when it is missing; its existence is durable when this resolves. */
  openAppend(path: string): Promise<AppendFile>;
  read(path: string): Promise<Uint8Array>;
  /** All or nothing: the old bytes or the new ones. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  truncate(path: string, length: number): Promise<void>;
  remove(path: string): Promise<void>;
  /** Names, sorted; empty when the folder is missing. */
  list(folder: string): Promise<string[]>;
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const { O_APPEND, O_CREAT, O_DSYNC, O_WRONLY } = constants;
/** Linux writes and syncs in one call: a group commit is one trip to the thread pool instead of two. */
const SYNCED = process.platform === "linux" ? O_DSYNC : 0;
const done = Promise.resolve();

export const realFiles: FilePort = {
  makeFolder: async (path) => {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await syncPath(dirname(path));
  },
  openAppend: async (path) => {
    const handle = await open(path, O_WRONLY | O_CREAT | O_APPEND | SYNCED, 0o600);
    try {
      await handle.sync();
      await syncPath(dirname(path));
    } catch (error) {
      await handle.close();
      throw error;
    }
    return {
      append: async (bytes) => {
        let written = 0;
        while (written < bytes.length) {
          const result = await handle.write(bytes, written, bytes.length - written);
          written += result.bytesWritten;
        }
      },
      sync: () => (SYNCED === 0 ? handle.datasync() : done),
      close: () => handle.close(),
    };
  },
  read: (path) => readFile(path),
  replace: async (path, bytes) => {
    const fresh = `${path}.new`;
    const handle = await open(fresh, "w", 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(fresh, path);
    await syncPath(dirname(path));
  },
  truncate: async (path, length) => {
    await truncate(path, length);
    await syncPath(path);
  },
  remove: (path) => unlink(path),
  list: async (folder) => {
    try {
      return (await readdir(folder)).sort();
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw error;
    }
  },
};
