import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { openTestDatabase, type TestDatabase } from "../../db/test-database.ts";
import { asId } from "../../kit/id.ts";
import { readPriceTerms } from "../prices/service.ts";
import {
  FACT_AT,
  FACT_PICO,
  fakeJournal,
  reported,
  seedTenant,
  type Tenant,
} from "../tenant.fixture.ts";
import type { Fact } from "../metering/types.ts";
import { openFactReader } from "./fact-reader.ts";
import { openLedger } from "./posting.fixture.ts";
import { asOrganisationRef, type FactReader, type PostedFact } from "./types.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;
const at = (text: string) => Date.parse(text);
const refOf = (tenant: Tenant) => asOrganisationRef(tenant.fact().organisationRef);
const positionOf = (posted: PostedFact) => ({ ...posted, startedAtMs: posted.fact.startedAtMs });

/** What every adapter of the port promises; the next one is a line here. */
const adapters = [["postgres", openFactReader]] as const;

describe.each(adapters)("facts in %s", (_, open) => {
  let database: TestDatabase;
  let ledger: ReturnType<typeof openLedger>;
  let reader: FactReader;

  beforeAll(async () => {
    database = await openTestDatabase();
    ledger = openLedger(database, readPriceTerms);
    reader = open(database.db);
  });
  afterAll(() => database.close());

  let tenants = 0;
  const newTenant = () => seedTenant(database, `tenant ${(tenants += 1)}`);
  const post = (...facts: readonly Fact[]) => ledger.post(fakeJournal(), facts);

  test("a fact comes back as it was settled, with its amount and where it lies", async () => {
    const tenant = await newTenant();
    const fact = tenant.fact({
      status: "cut",
      firstByteMs: -1,
      snapshotSequence: 2n ** 60n,
      quantities: [
        reported("input_tokens", 2n ** 53n + 1n),
        { meter: "output_tokens", amount: 3n, source: "counted" },
      ],
    });
    const journal = fakeJournal();
    await ledger.post(journal, [tenant.fact({ startedAtMs: FACT_AT + 1 }), fact]);
    const [, posted] = await reader.page(refOf(tenant), {}, undefined, 10);
    expect(posted).toEqual({
      gateway: journal.gateway,
      lane: 0,
      sequence: 1,
      index: 1,
      fact,
      // (2^53 + 1) × 2.5 + 3 × 10, in units of a millionth of a dollar's millionth: beyond what a float holds.
      amountPico: 22_517_998_136_852_482_500_000n + 30_000_000n,
      priceInForce: true,
    });
  });

  test("pages are newest first and show each fact once, while others are posted", async () => {
    const tenant = await newTenant();
    const old = Array.from({ length: 10 }, (_, count) =>
      // Pairs begin in the same millisecond; their places in the journal tell them apart.
      tenant.fact({ startedAtMs: FACT_AT - Math.floor(count / 2) }),
    );
    await post(...old.slice(0, 5));
    await post(...old.slice(5));
    const seen: PostedFact[] = [];
    for (;;) {
      const last = seen.at(-1);
      const facts = await reader.page(refOf(tenant), {}, last && positionOf(last), 3);
      if (facts.length === 0) break;
      seen.push(...facts);
      await post(tenant.fact({ startedAtMs: FACT_AT + seen.length }));
    }
    expect(seen.map(({ fact }) => fact.requestId).toSorted()).toEqual(
      old.map((fact) => fact.requestId).toSorted(),
    );
    const times = seen.map(({ fact }) => fact.startedAtMs);
    expect(times).toEqual(times.toSorted((left, right) => right - left));
  });

  test("each filter keeps what it names, and all of them together", async () => {
    const tenant = await newTenant();
    const plain = tenant.fact();
    const odd: Partial<Fact>[] = [
      { status: "failed" },
      { keyRef: plain.keyRef + 1_000 },
      { projectRef: plain.projectRef + 1_000 },
      { engineRef: plain.engineRef + 1_000 },
      { modelVersionRef: plain.modelVersionRef + 1_000 },
      { startedAtMs: FACT_AT - 1 },
      { startedAtMs: FACT_AT + 1 },
    ];
    await post(plain, ...odd.map((change) => tenant.fact(change)));
    const found = (filter: Parameters<FactReader["page"]>[1]) =>
      reader.page(refOf(tenant), filter, undefined, 50);
    expect(await found({ statuses: ["failed", "cut"] })).toHaveLength(1);
    expect(await found({ keyRef: plain.keyRef })).toHaveLength(7);
    expect(await found({ projectRef: plain.projectRef })).toHaveLength(7);
    expect(await found({ engineRef: plain.engineRef })).toHaveLength(7);
    expect(await found({ modelVersionRefs: [plain.modelVersionRef] })).toHaveLength(7);
    expect(await found({ modelVersionRefs: [] })).toEqual([]);
    expect(await found({ fromMs: FACT_AT })).toHaveLength(7);
    expect(await found({ toMs: FACT_AT })).toHaveLength(1);
    const all = await found({
      fromMs: FACT_AT,
      toMs: FACT_AT + 1,
      statuses: ["ok"],
      modelVersionRefs: [plain.modelVersionRef, 0],
      keyRef: plain.keyRef,
      projectRef: plain.projectRef,
      engineRef: plain.engineRef,
    });
    expect(all.map(({ fact }) => fact.requestId)).toEqual([plain.requestId]);
  });

  test("a request is all its attempts in order, each with the digest of the segment it lies in", async () => {
    const tenant = await newTenant();
    const requestId = tenant.fact().requestId;
    const journal = fakeJournal();
    const attempts = [3, 1, 2].map((attempt) => tenant.fact({ requestId, attempt }));
    await ledger.post(journal, attempts.slice(0, 1));
    await ledger.post(journal, [tenant.fact(), ...attempts.slice(1)]);
    const found = await reader.request(refOf(tenant), requestId);
    expect(found.map(({ fact, sequence, index }) => [fact.attempt, sequence, index])).toEqual([
      [1, 2, 1],
      [2, 2, 2],
      [3, 1, 0],
    ]);
    const { rows } = await database.pool.query<{ digest: string }>(
      "select digest from segments where gateway = $1 order by sequence",
      [journal.gateway],
    );
    expect(found.map((posted) => posted.segmentDigest)).toEqual(
      [2, 2, 1].map((sequence) => rows[sequence - 1]?.digest ?? ""),
    );
  });

  test("another organisation's facts are in no answer", async () => {
    const [mine, theirs] = [await newTenant(), await newTenant()];
    const fact = theirs.fact();
    await post(fact);
    const me = refOf(mine);
    const [fromMs, toMs] = [FACT_AT - DAY, FACT_AT + DAY];
    expect(await reader.page(me, {}, undefined, 10)).toEqual([]);
    expect(await reader.page(me, { keyRef: fact.keyRef }, undefined, 10)).toEqual([]);
    expect(await reader.request(me, fact.requestId)).toEqual([]);
    expect(await reader.window(me, fromMs, toMs)).toMatchObject([{ minuteMs: null, requests: 0n }]);
    expect(await reader.usage(me, { fromMs, toMs, groupBy: "key", timeZone: "UTC" })).toEqual([]);
  });

  test("a window sums its minutes and itself, and ranks only attempts that relayed a byte", async () => {
    const tenant = await newTenant();
    const minute = at("2026-11-24T10:15:00Z");
    const failed = { status: "failed", firstByteMs: -1, quantities: [] } as const;
    await post(
      ...[10, 20, 30, 40].map((firstByteMs) => tenant.fact({ startedAtMs: minute, firstByteMs })),
      tenant.fact({ ...failed, startedAtMs: minute + MINUTE - 1 }),
      tenant.fact({ ...failed, startedAtMs: minute + MINUTE }),
      tenant.fact({ startedAtMs: minute + 3 * MINUTE, firstByteMs: 0 }),
      tenant.fact({ startedAtMs: minute - 1 }),
      tenant.fact({ startedAtMs: minute + 5 * MINUTE }),
    );
    const sums = await reader.window(refOf(tenant), minute, minute + 5 * MINUTE);
    const view = sums.map((row) => [
      row.minuteMs === null ? null : (row.minuteMs - minute) / MINUTE,
      row.requests,
      row.failures,
      row.amountPico / FACT_PICO,
      row.firstByteP50Ms,
      row.firstByteP95Ms,
    ]);
    expect(view).toEqual([
      [null, 7n, 2n, 5n, 20, 40],
      [0, 5n, 1n, 4n, 20, 40],
      [1, 1n, 1n, 0n, null, null],
      [3, 1n, 0n, 1n, 0, 0],
    ]);
    expect(sums[0]).toMatchObject({
      inputTokens: 5_000n,
      cachedInputTokens: 2_500n,
      outputTokens: 1_000n,
    });
  });

  test("a range counts the minutes it touches, whole", async () => {
    const tenant = await newTenant();
    const minute = at("2026-11-24T10:15:00Z");
    await post(tenant.fact({ startedAtMs: minute }), tenant.fact({ startedAtMs: minute + MINUTE }));
    const requests = async (fromMs: number, toMs: number) =>
      (await reader.window(refOf(tenant), fromMs, toMs))[0]?.requests;
    expect(await requests(minute + 1, minute + 2)).toBe(1n);
    expect(await requests(minute + 1, minute + MINUTE)).toBe(1n);
    expect(await requests(minute + 1, minute + MINUTE + 1)).toBe(2n);
    expect(await requests(minute - MINUTE, minute)).toBe(0n);
  });

  test.each([
    ["project", "projectRef"],
    ["key", "keyRef"],
    ["engine", "engineRef"],
    ["model", "modelVersionRef"],
  ] as const)("usage by %s adds up each one's facts", async (groupBy, field) => {
    const tenant = await newTenant();
    const own = tenant.fact()[field];
    await post(tenant.fact(), tenant.fact({ status: "cut" }), tenant.fact({ [field]: 9_999_999 }));
    const [fromMs, toMs] = [FACT_AT - DAY, FACT_AT + DAY];
    const groups = await reader.usage(refOf(tenant), { fromMs, toMs, groupBy, timeZone: "UTC" });
    expect(groups.find(({ group }) => group === String(own))).toEqual({
      group: String(own),
      requests: 2n,
      failures: 1n,
      inputTokens: 2_000n,
      cachedInputTokens: 1_000n,
      outputTokens: 400n,
      amountPico: 2n * FACT_PICO,
    });
    expect(groups.map(({ group, requests }) => [group, requests])).toContainEqual(["9999999", 1n]);
  });

  test("sums are exact far beyond what a float or a Postgres bigint holds", async () => {
    const tenant = await newTenant();
    const huge = tenant.fact({ quantities: [reported("output_tokens", 2n ** 61n + 1n)] });
    await post(huge, { ...huge, requestId: tenant.fact().requestId });
    const [whole] = await reader.window(refOf(tenant), FACT_AT, FACT_AT + 1);
    expect(whole?.amountPico).toBe(2n * (2n ** 61n + 1n) * 10_000_000n);
  });

  /** The last hour of a day in Berlin, and the first of the next, around both changes of the clock and in between. */
  test.each([
    ["Europe/Berlin", "2026-03-28T22:59:59.999Z", "2026-03-28"],
    ["Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29"],
    // This day has 23 hours.
    ["Europe/Berlin", "2026-03-29T21:59:59.999Z", "2026-03-29"],
    ["Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-30"],
    // And this one 25.
    ["Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25"],
    ["Europe/Berlin", "2026-10-25T22:59:59.999Z", "2026-10-25"],
    ["Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26"],
    ["Asia/Kathmandu", "2026-11-24T18:14:00Z", "2026-11-24"],
    ["Asia/Kathmandu", "2026-11-24T18:15:00Z", "2026-11-25"],
    ["UTC", "2026-11-24T23:59:59.999Z", "2026-11-24"],
  ])("in %s %s is part of %s", async (timeZone, moment, day) => {
    const tenant = await newTenant();
    await post(tenant.fact({ startedAtMs: at(moment) }));
    const [fromMs, toMs] = [at(moment) - DAY, at(moment) + DAY];
    const groups = await reader.usage(refOf(tenant), { fromMs, toMs, groupBy: "day", timeZone });
    expect(groups.map(({ group, requests }) => [group, requests])).toEqual([[day, 1n]]);
  });

  test("a time zone that nobody knows is refused by name", async () => {
    const tenant = await newTenant();
    await post(tenant.fact());
    const [fromMs, toMs] = [FACT_AT, FACT_AT + DAY];
    const question = { fromMs, toMs, groupBy: "day", timeZone: "Mars/Olympus" } as const;
    await expect(reader.usage(refOf(tenant), question)).rejects.toMatchObject({
      code: "request.invalid",
      field: "timeZone",
    });
  });

  test("an unknown request has no attempts", async () => {
    const tenant = await newTenant();
    expect(await reader.request(refOf(tenant), asId("req_nobody"))).toEqual([]);
  });
});
