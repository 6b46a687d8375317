// A disk in memory that forgets what was not synced, for tests of power loss.
// Invariant: after `cutPower` a file holds its synced bytes and any prefix of what followed, the last bytes possibly garbled;
// a file whose creation was not made durable may be gone.

import type { Dice } from "./clock.ts";
import type { AppendFile, FilePort } from "./file-port.ts";

interface Disk {
  live: Uint8Array;
  durableLength: number;
}

export interface FaultyFiles {
  /** The disk as one life of the machine sees it: after `cutPower` everything on an old session fails. */
  session(): FilePort;
  /** What the disk holds after a power loss at this instant. */
  cutPower(dice: Dice): void;
  /** The next append or sync fails with this error, once. */
  failNext(error: Error): void;
}

function join(left: Uint8Array, right: Uint8Array): Uint8Array {
  const both = new Uint8Array(left.length + right.length);
  both.set(left);
  both.set(right, left.length);
  return both;
}

export function openFaultyFiles(): FaultyFiles {
  const disks = new Map<string, Disk>();
  let life = 0;
  let failure: Error | undefined;

  const find = (path: string): Disk => {
    const disk = disks.get(path);
    if (disk === undefined)
      throw Object.assign(new Error(`${path} is missing`), { code: "ENOENT" });
    return disk;
  };
  const check = (born: number) => {
    if (born !== life) throw new Error("the power was cut");
  };
  const checkWrite = (born: number) => {
    check(born);
    const error = failure;
    failure = undefined;
    if (error !== undefined) throw error;
  };

  const openAppend = async (born: number, path: string): Promise<AppendFile> => {
    check(born);
    const disk = disks.get(path) ?? { live: new Uint8Array(), durableLength: 0 };
    disks.set(path, disk);
    return {
      append: async (bytes) => {
        checkWrite(born);
        disk.live = join(disk.live, bytes);
      },
      sync: async () => {
        const { length } = disk.live;
        await Promise.resolve();
        checkWrite(born);
        disk.durableLength = Math.max(disk.durableLength, length);
      },
      close: async () => {},
    };
  };

  const session = (born: number): FilePort => ({
    makeFolder: async () => check(born),
    openAppend: (path) => openAppend(born, path),
    read: async (path) => {
      check(born);
      return find(path).live.slice();
    },
    replace: async (path, bytes) => {
      await Promise.resolve();
      check(born);
      disks.set(path, { live: bytes.slice(), durableLength: bytes.length });
    },
    truncate: async (path, length) => {
      check(born);
      const disk = find(path);
      disk.live = disk.live.slice(0, length);
      disk.durableLength = length;
    },
    remove: async (path) => {
      check(born);
      find(path);
      disks.delete(path);
    },
    list: async (folder) => {
      check(born);
      const prefix = folder.endsWith("/") ? folder : `${folder}/`;
      const inside = [...disks.keys()].filter((path) => path.startsWith(prefix));
      return inside.map((path) => path.slice(prefix.length)).sort();
    },
  });

  return {
    session: () => session(life),
    cutPower: (dice) => {
      life += 1;
      for (const disk of disks.values()) {
        const unsynced = disk.live.length - disk.durableLength;
        const kept = disk.live.slice(
          0,
          disk.durableLength + Math.floor(dice.next() * (unsynced + 1)),
        );
        const torn = kept.length > disk.durableLength && dice.next() < 0.5;
        if (torn) kept[kept.length - 1] = (kept.at(-1) ?? 0) ^ 0xff;
        disk.live = kept;
        disk.durableLength = kept.length;
      }
    },
    failNext: (error) => {
      failure = error;
    },
  };
}
