// For tests of this wing: a tenant with a project, a key, a model, an engine and a price, and sealed segments of its facts.
// Invariant: refs come from the database, as they do for a gateway; nothing here runs in the product.

import { encodeRecord } from "./metering/rules.ts";
import { FRAME_HEAD_BYTES, writeFrame } from "./metering/frames.rules.ts";
import { encodeSegment, NO_DIGEST, segmentDigest } from "./metering/segment.rules.ts";
import type { Fact, JournalRecord, Quantity } from "./metering/types.ts";
import { systemClock, systemDice } from "../kit/clock.ts";
import { asId, makeId, type OrganisationId } from "../kit/id.ts";
import type { Database } from "../db/database.ts";

const id = <P extends string>(prefix: P) => makeId(prefix, systemClock, systemDice);

export interface Tenant {
  readonly organisationId: OrganisationId;
  readonly projectId: string;
  readonly keyId: string;
  readonly engineId: string;
  readonly priceId: string;
  /** A successful attempt: 1,000 input tokens, 500 of them cached, and 200 output, which cost 3,875,000,000 pico. */
  fact(change?: Partial<Fact>): Fact;
}

/** 2.50 dollars a million input tokens, 1.25 cached, 10.00 output; in force since 2026. */
export const TENANT_PRICE_FROM = new Date("2026-01-01T00:00:00Z");
export const FACT_PICO = 3_875_000_000n;
export const FACT_AT = Date.parse("2026-11-24T10:15:30.500Z");

export const reported = (meter: Quantity["meter"], amount: bigint): Quantity => ({
  meter,
  amount,
  source: "reported",
});

const LINES = {
  input_tokens: 2_500_000n,
  cached_input_tokens: 1_250_000n,
  output_tokens: 10_000_000n,
};

const QUANTITIES = [
  reported("input_tokens", 500n),
  reported("cached_input_tokens", 500n),
  reported("output_tokens", 200n),
];

async function seedOwner({ db }: Database, name: string) {
  const created_at = TENANT_PRICE_FROM;
  const firm = await db
    .insertInto("firms")
    .values({
      id: id("firm"),
      name,
      signing_public_key: "",
      created_at,
      signing_private_sealed: Buffer.alloc(0),
    })
    .returning(["id", "ref"])
    .executeTakeFirstOrThrow();
  const organisation = await db
    .insertInto("organisations")
    .values({ id: id("org"), firm_id: firm.id, name, created_at })
    .returning(["id", "ref"])
    .executeTakeFirstOrThrow();
  const organisation_id = organisation.id;
  const project = await db
    .insertInto("projects")
    .values({ id: id("proj"), organisation_id, name: `${name} project`, created_at })
    .returning(["id", "ref"])
    .executeTakeFirstOrThrow();
  const key = await db
    .insertInto("keys")
    .values({
      id: id("key"),
      organisation_id,
      project_id: project.id,
      kind: "live",
      created_at,
      name: `${name} key`,
      hmac: Buffer.alloc(32),
    })
    .returning(["id", "ref"])
    .executeTakeFirstOrThrow();
  return { firm, organisation, project, key };
}

async function seedModel({ db }: Database, organisation_id: string, model: string) {
  const created_at = TENANT_PRICE_FROM;
  const zoneId = id("zone");
  const poolId = id("pool");
  const modelId = id("model");
  const zone = await db
    .insertInto("zones")
    .values({ id: zoneId, organisation_id, name: "here", region: "local", created_at })
    .returning("ref")
    .executeTakeFirstOrThrow();
  await db
    .insertInto("pools")
    .values({
      id: poolId,
      organisation_id,
      zone_id: zoneId,
      name: "cpu",
      accelerator: "cpu",
      created_at,
    })
    .execute();
  const engine = await db
    .insertInto("engines")
    .values({
      id: id("engine"),
      organisation_id,
      pool_id: poolId,
      name: "engine one",
      kind: "openai",
      base_url: "http://127.0.0.1:1",
      created_at,
    })
    .returning(["id", "ref"])
    .executeTakeFirstOrThrow();
  await db
    .insertInto("models")
    .values({ id: modelId, organisation_id, name: model, owned_by: "somebody", created_at })
    .execute();
  const version = await db
    .insertInto("model_versions")
    .values({ id: id("version"), organisation_id, model_id: modelId, version: "1", created_at })
    .returning("ref")
    .executeTakeFirstOrThrow();
  return { zone, engine, version };
}

async function seedPrice({ db }: Database, organisation_id: string, model: string) {
  const price = await db
    .insertInto("price_versions")
    .values({
      id: id("price"),
      organisation_id,
      model,
      effective_from: TENANT_PRICE_FROM,
      created_at: TENANT_PRICE_FROM,
    })
    .returning(["id", "ref"])
    .executeTakeFirstOrThrow();
  await db
    .insertInto("price_lines")
    .values(
      Object.entries(LINES).map(([meter, pico_per_unit]) => ({
        price_version_id: price.id,
        organisation_id,
        meter,
        pico_per_unit,
      })),
    )
    .execute();
  return price;
}

export async function seedTenant(database: Database, name = "acme"): Promise<Tenant> {
  const model = `${name}-model`;
  const { firm, organisation, project, key } = await seedOwner(database, name);
  const { zone, engine, version } = await seedModel(database, organisation.id, model);
  const price = await seedPrice(database, organisation.id, model);
  return {
    organisationId: asId(organisation.id),
    projectId: project.id,
    keyId: key.id,
    engineId: engine.id,
    priceId: price.id,
    fact: (change = {}) => ({
      requestId: id("req"),
      attempt: 1,
      attemptKind: "first",
      endpoint: "chat",
      status: "ok",
      httpStatus: 200,
      streamed: true,
      firmRef: firm.ref,
      organisationRef: organisation.ref,
      projectRef: project.ref,
      keyRef: key.ref,
      modelVersionRef: version.ref,
      zoneRef: zone.ref,
      engineRef: engine.ref,
      priceVersionRef: price.ref,
      snapshotSequence: 7n,
      servedTier: "standard",
      callerJurisdiction: "DE",
      zoneJurisdiction: "FR",
      startedAtMs: FACT_AT,
      firstByteMs: 40,
      durationMs: 900,
      upstreamRequestId: "up-1",
      quantities: QUANTITIES,
      ...change,
    }),
  };
}

export interface Sealed {
  readonly bytes: Uint8Array;
  readonly digest: string;
}

/** A gateway's journal as control sees it: each call seals the next segment. */
export function fakeJournal(gateway: string = id("gw"), epoch = 1) {
  let sequence = 0;
  let previousDigest = NO_DIGEST;
  const seal = (records: readonly JournalRecord[]): Sealed => {
    sequence += 1;
    const payloads = records.map(encodeRecord);
    const size = payloads.reduce((sum, payload) => sum + FRAME_HEAD_BYTES + payload.length, 0);
    const frames = new Uint8Array(size);
    payloads.reduce((at, payload) => writeFrame(frames, at, payload), 0);
    const bytes = encodeSegment(
      {
        format: 1,
        gateway,
        epoch,
        lane: 0,
        sequence,
        previousDigest,
        count: records.length,
        firstAtMs: FACT_AT,
        lastAtMs: FACT_AT,
      },
      frames,
    );
    previousDigest = segmentDigest(bytes);
    return { bytes, digest: previousDigest };
  };
  return {
    gateway,
    seal,
    settle: (facts: readonly Fact[]) => seal(facts.map((fact) => ({ type: "settle", fact }))),
  };
}
