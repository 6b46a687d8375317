// Which models are loaded, with models that are literals: what is counted is opening and closing.

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock } from "../kit/clock.ts";
import { silentLog } from "../kit/log.ts";
import type { Served } from "./index-file.ts";
import type { Model } from "./llama.ts";
import { openShelf } from "./shelf.ts";

const folder = mkdtempSync(join(tmpdir(), "intertie-shelf-"));

function served(name: string): Served {
  const path = join(folder, name);
  writeFileSync(path, name);
  const digest = createHash("sha256").update(name).digest("hex");
  return { name, path, file: name, digest, contextTokens: 8 };
}

function openTestShelf() {
  const clock = manualClock();
  const all = new Map(["a", "b", "c"].map((name) => [name, served(name)]));
  const seen: string[] = [];
  const load = async ({ name }: Served): Promise<Model> => {
    seen.push(`open ${name}`);
    return {
      contextTokens: 8,
      tokenize: () => [],
      embed: async () => [],
      close: async () => void seen.push(`close ${name}`),
      generate: async function* () {},
    };
  };
  const index = { find: (name: string) => all.get(name), list: () => [], changedAtS: 0 };
  const shelf = openShelf(
    { index, load, log: silentLog, monotonicMs: clock.monotonicMs },
    { loadedMax: 2, slots: 1, waitingMax: 0 },
  );
  return { shelf, seen, clock, all };
}

test("a model is loaded once for all who ask at the same moment", async () => {
  const { shelf, seen } = openTestShelf();
  const [first, second] = await Promise.all([shelf.borrow("a"), shelf.borrow("a")]);
  expect(first?.model).toBe(second?.model as Model);
  expect(seen).toEqual(["open a"]);
});

test("a third model takes the place of the one that was not used for longest, never of one in use", async () => {
  const { shelf, seen, clock } = openTestShelf();
  const a = await shelf.borrow("a");
  const b = await shelf.borrow("b");
  expect(shelf.borrow("c")).rejects.toMatchObject({ code: "engine.busy", retryAfterSeconds: 5 });
  await shelf.borrow("c").catch(() => undefined);
  a.giveBack();
  clock.advance(1);
  b.giveBack();
  await shelf.borrow("c");
  expect(seen).toEqual(["open a", "open b", "close a", "open c"]);
  await shelf.close();
  expect(seen.slice(4).toSorted()).toEqual(["close b", "close c"]);
});

test("a model that could not be loaded is tried again by the next who asks", async () => {
  const { shelf, seen, all } = openTestShelf();
  const right = all.get("a");
  if (!right) throw new Error("a is missing");
  all.set("a", { ...right, digest: "0".repeat(64) });
  await shelf.borrow("a").then(
    () => expect.unreachable(),
    (error: unknown) => expect(error).toMatchObject({ code: "artifact.digest" }),
  );
  all.set("a", right);
  expect((await shelf.borrow("a")).digest).toBe(right.digest);
  expect(seen).toEqual(["open a"]);
});

test("model.unknown: a name that the index does not have", async () => {
  const { shelf } = openTestShelf();
  expect(shelf.borrow("x")).rejects.toMatchObject({ code: "model.unknown", field: "model" });
});
