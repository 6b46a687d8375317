// The loaded models: opened when first asked for, at most so many at a time, the longest unused one goes first.
// Invariant: a model is closed only while nobody uses it, and a file is loaded only when its digest is the index's.

import { createReadStream } from "node:fs";
import { Fault } from "../kit/fault.ts";
import type { Log } from "../kit/log.ts";
import type { IndexReader, Served } from "./index-file.ts";
import type { Model } from "./llama.ts";
import { openSlots, type Slots } from "./slots.state.ts";

export interface ShelfDeps {
  readonly index: IndexReader;
  readonly load: (served: Served) => Promise<Model>;
  readonly log: Log;
  readonly monotonicMs: () => number;
}

export interface ShelfOptions {
  readonly loadedMax: number;
  readonly slots: number;
  readonly waitingMax: number;
}

export interface Borrowed {
  readonly name: string;
  readonly digest: string;
  readonly model: Model;
  readonly slots: Slots;
  giveBack(): void;
}

export interface Shelf {
  /** Loads the model when needed. Throws `model.unknown`, `artifact.unavailable` or `engine.busy`. */
  borrow(name: string): Promise<Borrowed>;
  /** The slots of a model, if it is loaded. */
  slotsOf(name: string): Slots | undefined;
  close(): Promise<void>;
}

interface Copy {
  readonly digest: string;
  readonly model: Promise<Model>;
  readonly slots: Slots;
  users: number;
  usedAtMs: number;
}

async function digestOf(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const part of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(part);
  return hash.digest("hex");
}

/** Rejects unless the file's content is what the index says. */
export async function checkDigest(served: Served): Promise<void> {
  let digest: string;
  try {
    digest = await digestOf(served.path);
  } catch (cause) {
    throw new Fault("artifact.unavailable", {
      message: `the file of ${served.name} is missing`,
      hint: "pull the model again",
      cause,
    });
  }
  if (digest === served.digest) return;
  throw new Fault("artifact.digest", {
    message: `the file of ${served.name} is not the one that was put there`,
    hint: "pull the model again",
  });
}

function findServed(deps: ShelfDeps, name: string): Served {
  const served = deps.index.find(name);
  if (served) return served;
  throw new Fault("model.unknown", { message: `there is no model ${name} here`, field: "model" });
}

export function openShelf(deps: ShelfDeps, options: ShelfOptions): Shelf {
  const copies = new Map<string, Copy>();

  /** The copy that gives way, taken off the shelf; its closing comes before the next load. */
  const makeRoom = async (): Promise<void> => {
    if (copies.size < options.loadedMax) return;
    const idle = [...copies.values()]
      .filter((copy) => copy.users === 0)
      .toSorted((left, right) => left.usedAtMs - right.usedAtMs)[0];
    if (!idle)
      throw new Fault("engine.busy", {
        message: `${options.loadedMax} other models are in use`,
        retryAfterSeconds: 5,
      });
    copies.delete(idle.digest);
    await (await idle.model).close();
    deps.log.info("engine.model_unloaded", { digest: idle.digest });
  };

  const load = async (served: Served, room: Promise<void>): Promise<Model> => {
    const beganMs = deps.monotonicMs();
    await Promise.all([room, checkDigest(served)]);
    const model = await deps.load(served);
    const tookMs = Math.round(deps.monotonicMs() - beganMs);
    deps.log.info("engine.model_loaded", { model: served.name, digest: served.digest, tookMs });
    return model;
  };

  const copyOf = (served: Served): Copy => {
    const known = copies.get(served.digest);
    if (known) return known;
    const slots = openSlots(options.slots, options.waitingMax);
    const model = load(served, makeRoom());
    const copy: Copy = { digest: served.digest, model, slots, users: 0, usedAtMs: 0 };
    copies.set(served.digest, copy);
    model.catch(() => {
      if (copies.get(served.digest) === copy) copies.delete(served.digest);
    });
    return copy;
  };

  return {
    borrow: async (name) => {
      const copy = copyOf(findServed(deps, name));
      copy.users += 1;
      const giveBack = () => {
        copy.users -= 1;
        copy.usedAtMs = deps.monotonicMs();
      };
      try {
        return { name, digest: copy.digest, model: await copy.model, slots: copy.slots, giveBack };
      } catch (error) {
        giveBack();
        throw error;
      }
    },
    slotsOf: (name) => copies.get(deps.index.find(name)?.digest ?? "")?.slots,
    close: async () => {
      const open = [...copies.values()];
      copies.clear();
      const models = await Promise.allSettled(open.map((copy) => copy.model));
      await Promise.all(
        models.map((each) => (each.status === "fulfilled" ? each.value.close() : undefined)),
      );
    },
  };
}
