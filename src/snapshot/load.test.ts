import { expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manualClock } from "../kit/clock.ts";
import { asId } from "../kit/id.ts";
import { silentLog } from "../kit/log.ts";
import { openSnapshotHolder } from "./load.ts";
import { decodeSection, digestOf, encodeSection } from "./sections.ts";
import { signingKeysFrom, signManifest } from "./sign.ts";
import {
  SECTION_NAMES,
  type SectionName,
  type SnapshotData,
  type SnapshotManifest,
} from "./types.ts";

const keys = signingKeysFrom(new Uint8Array(32).fill(7));
const organisationId = asId<"org">("org_1");
const projectId = asId<"proj">("proj_1");
const limits = { requestsPerMinute: null, tokensPerMinute: null, concurrentStreams: null };

function dataWith(keyName: string): SnapshotData {
  const tenant = {
    firmId: asId<"firm">("firm_1"),
    firmRef: 1,
    organisationId,
    organisationRef: 1,
    projectId,
    projectRef: 1,
  };
  const home = { region: "local", lane: 0, cell: "local" };
  const priceOf = (effectiveFromMs: number, pico: bigint) => ({
    id: asId<"price">(`price_${effectiveFromMs}`),
    ref: effectiveFromMs,
    organisationId,
    model: "tiny",
    effectiveFromMs,
    source: "",
    picoPerUnit: { input_tokens: pico },
  });
  return {
    tenants: [
      {
        ...tenant,
        projectName: "default",
        jurisdiction: "ZZ",
        home,
        limits,
        monthlySpendLimitPico: 10n ** 30n,
      },
    ],
    keys: [
      {
        id: asId<"key">(keyName),
        ref: 1,
        projectId,
        kind: "live",
        hmac: "ab",
        limits,
        expiresAtMs: null,
        revoked: false,
      },
    ],
    models: [],
    zones: [],
    prices: [priceOf(2000, 2n), priceOf(1000, 1n)],
  };
}

const bodies = new Map<string, Uint8Array>();

function publish(sequence: number, data: SnapshotData, compiledAtMs: number): SnapshotManifest {
  const named = SECTION_NAMES.map((name) => {
    const bytes = encodeSection(name, data);
    bodies.set(digestOf(bytes), bytes);
    return [name, digestOf(bytes)] as const;
  });
  const sections = Object.fromEntries(named) as Record<SectionName, string>;
  return signManifest(
    { format: 1, sequence, compiledAtMs, ageMaxMs: 60_000, sections },
    keys.privateKey,
  );
}

async function openHolder(folder?: string) {
  const clock = manualClock();
  const fetched: string[] = [];
  const place = folder ?? (await mkdtemp(join(tmpdir(), "snapshot-")));
  const holder = await openSnapshotHolder({
    folder: place,
    publicKey: keys.publicKey,
    clock,
    log: silentLog,
    fetchSection: (digest) => {
      fetched.push(digest);
      const bytes = bodies.get(digest);
      return bytes ? Promise.resolve(bytes) : Promise.reject(new Error("no such section"));
    },
  });
  return { holder, clock, fetched, folder: place };
}

test("sections decode to what was encoded, bigints included", () => {
  const data = dataWith("key_a");
  for (const name of SECTION_NAMES)
    expect(decodeSection(name, encodeSection(name, data))).toEqual(data[name]);
});

test("a good manifest is served; the next one fetches only what changed", async () => {
  const { holder, clock, fetched } = await openHolder();
  expect(holder.current()).toBeUndefined();
  expect(await holder.offer(publish(1, dataWith("key_a"), clock.nowMs()))).toBe(true);
  expect(holder.current()?.keyById(asId<"key">("key_a"))?.projectId).toBe(projectId);
  expect(holder.current()?.tenantOf(projectId)?.monthlySpendLimitPico).toBe(10n ** 30n);
  fetched.length = 0;
  expect(await holder.offer(publish(2, dataWith("key_b"), clock.nowMs()))).toBe(true);
  expect(fetched).toHaveLength(1);
  expect(holder.current()?.keyById(asId<"key">("key_a"))).toBeUndefined();
});

test("the price in force is the last that began, within the organisation", async () => {
  const { holder, clock } = await openHolder();
  await holder.offer(publish(1, dataWith("key_a"), clock.nowMs()));
  const reader = holder.current();
  expect(reader?.priceAt(organisationId, "tiny", 999)).toBeUndefined();
  expect(reader?.priceAt(organisationId, "tiny", 1999)?.ref).toBe(1000);
  expect(reader?.priceAt(organisationId, "tiny", 2000)?.ref).toBe(2000);
  expect(reader?.priceAt(asId<"org">("org_2"), "tiny", 2000)).toBeUndefined();
});

test("a lower sequence, a bent signature, a bent section and another format are refused; the old one stays", async () => {
  const { holder, clock } = await openHolder();
  await holder.offer(publish(5, dataWith("key_a"), clock.nowMs()));
  expect(await holder.offer(publish(4, dataWith("key_b"), clock.nowMs()))).toBe(false);
  expect(await holder.offer({ ...publish(6, dataWith("key_b"), clock.nowMs()), sequence: 7 })).toBe(
    false,
  );
  const bent = publish(8, dataWith("key_c"), clock.nowMs());
  bodies.set(bent.sections.keys, new TextEncoder().encode("[]"));
  expect(await holder.offer(bent)).toBe(false);
  const newer = {
    ...publish(9, dataWith("key_b"), clock.nowMs()),
    format: 2,
  } as unknown as SnapshotManifest;
  expect(await holder.offer(newer)).toBe(false);
  expect(holder.current()?.sequence).toBe(5);
});

test("the disk copy serves after a restart without control, and no sooner goes back", async () => {
  const first = await openHolder();
  await first.holder.offer(publish(3, dataWith("key_a"), first.clock.nowMs()));
  const again = await openHolder(first.folder);
  expect(again.holder.current()?.sequence).toBe(3);
  expect(again.fetched).toEqual([]);
  expect(await again.holder.offer(publish(2, dataWith("key_b"), again.clock.nowMs()))).toBe(false);
});

test("a damaged disk copy is not served", async () => {
  const first = await openHolder();
  const manifest = publish(3, dataWith("key_a"), first.clock.nowMs());
  await first.holder.offer(manifest);
  await writeFile(join(first.folder, manifest.sections.keys), "[]");
  expect((await openHolder(first.folder)).holder.current()).toBeUndefined();
});

test("the disk keeps the newest only, and no usable secret", async () => {
  const { holder, clock, folder } = await openHolder();
  await holder.offer(publish(1, dataWith("key_a"), clock.nowMs()));
  await holder.offer(publish(2, dataWith("key_b"), clock.nowMs()));
  const names = await readdir(folder);
  expect(names).toHaveLength(
    new Set(Object.values(publish(2, dataWith("key_b"), 0).sections)).size + 1,
  );
  for (const name of names)
    expect(await readFile(join(folder, name), "utf8")).not.toContain("it_live_");
});

test("a snapshot that outlived its age is no longer served", async () => {
  const { holder, clock } = await openHolder();
  await holder.offer(publish(1, dataWith("key_a"), clock.nowMs()));
  clock.advance(60_001);
  expect(holder.current()).toBeUndefined();
});
