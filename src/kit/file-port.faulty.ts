// A disk in memory that forgets what was not synced and fails when it is told to, for tests of power loss and full disks.
// Invariant: after `cutPower` a file holds its synced bytes and any prefix of what followed, the last bytes possibly garbled;
// one that was removed may be back, unless something else in its folder was made durable since.

import type { Dice } from "./clock.ts";
import type { AppendFile, FilePort } from "./file-port.ts";

interface Disk {
  live: Uint8Array;
  durableLength: number;
}

export type Operation = "append" | "sync" | "openAppend" | "replace" | "truncate" | "remove";
/** An error that came before anything was done (of an append, half), or one that came when all was done. */
export type Failing = "undone" | "done";

export interface FaultyFiles {
  /** The disk as one life of the machine sees it: after `cutPower` everything on an old session fails. */
  session(): FilePort;
  /** What the disk holds after a power loss at this instant. */
  cutPower(dice: Dice): void;
  /** The next append or sync fails with this error, once. */
  failNext(error: Error): void;
  /** Asked at each operation, until told otherwise; `undefined` lets it through. */
  failWhen(judge: (operation: Operation, path: string) => Failing | undefined): void;
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
  /** Gone, but not yet for good. */
  const removed = new Map<string, Disk>();
  let failure: Error | undefined;
  let judge: (operation: Operation, path: string) => Failing | undefined = () => undefined;

  const find = (path: string): Disk => {
    const disk = disks.get(path);
    if (disk === undefined)
      throw Object.assign(new Error(`${path} is missing`), { code: "ENOENT" });
    return disk;
  };
  const check = (born: number) => {
    if (born !== life) throw new Error("the power was cut");
  };
  /** Runs the effect, or fails as it was told to. */
  const act = (born: number, operation: Operation, path: string, effect: () => void): void => {
    check(born);
    const failing = judge(operation, path);
    if (failing !== "undone") effect();
    if (failing !== undefined) throw new Error(`${operation} ${path} failed`);
  };
  const takeFailure = () => {
    const error = failure;
    failure = undefined;
    if (error !== undefined) throw error;
  };

  const openAppend = async (born: number, path: string): Promise<AppendFile> => {
    const disk = disks.get(path) ?? { live: new Uint8Array(), durableLength: 0 };
    act(born, "openAppend", path, () => {
      disks.set(path, disk);
      removed.clear();
    });
    return {
      append: async (bytes) => {
        check(born);
        takeFailure();
        const before = disk.live;
        disk.live = join(before, bytes.subarray(0, bytes.length >> 1));
        act(born, "append", path, () => void (disk.live = join(before, bytes)));
      },
      sync: async () => {
        const { length } = disk.live;
        await Promise.resolve();
        check(born);
        takeFailure();
        act(born, "sync", path, () => {
          disk.durableLength = Math.max(disk.durableLength, length);
        });
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
      act(born, "replace", path, () => {
        disks.set(path, { live: bytes.slice(), durableLength: bytes.length });
        removed.clear();
      });
    },
    truncate: async (path, length) => {
      act(born, "truncate", path, () => {
        const disk = find(path);
        disk.live = disk.live.slice(0, length);
        disk.durableLength = length;
      });
    },
    remove: async (path) => {
      act(born, "remove", path, () => {
        removed.set(path, find(path));
        disks.delete(path);
      });
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
      for (const [path, disk] of removed)
        if (!disks.has(path) && dice.next() < 0.5) disks.set(path, disk);
      removed.clear();
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
    failWhen: (next) => {
      judge = next;
    },
  };
}
