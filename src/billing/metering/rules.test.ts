import { expect, test } from "bun:test";
import fc from "fast-check";
import { asId, encodeId } from "../../kit/id.ts";
import { decodeRecord, encodeRecord } from "./rules.ts";
import {
  ATTEMPT_KINDS,
  ENDPOINTS,
  FACT_STATUSES,
  METERS,
  QUANTITY_SOURCES,
  SERVED_TIERS,
  type Fact,
  type JournalRecord,
} from "./types.ts";

const ref = fc.nat(2 ** 31 - 1);
const requestId = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => asId<"req">(`req_${encodeId(bytes)}`));
const quantity = fc.record({
  meter: fc.constantFrom(...METERS),
  source: fc.constantFrom(...QUANTITY_SOURCES),
  amount: fc.bigInt({ min: 0n, max: 2n ** 64n }),
});
const quantities = fc.array(quantity, { maxLength: 11 });
const jurisdiction = fc.constantFrom("DE", "US", "ZZ");
const attempt = fc.integer({ min: 1, max: 255 });
const firstByteMs = fc.integer({ min: -1, max: 2 ** 31 });

const fact: fc.Arbitrary<Fact> = fc.record({
  requestId,
  attempt,
  attemptKind: fc.constantFrom(...ATTEMPT_KINDS),
  endpoint: fc.constantFrom(...ENDPOINTS),
  status: fc.constantFrom(...FACT_STATUSES),
  httpStatus: fc.nat(599),
  streamed: fc.boolean(),
  firmRef: ref,
  organisationRef: ref,
  projectRef: ref,
  keyRef: ref,
  modelVersionRef: ref,
  zoneRef: ref,
  engineRef: ref,
  priceVersionRef: ref,
  snapshotSequence: fc.bigInt({ min: 0n, max: 2n ** 63n }),
  servedTier: fc.constantFrom(...SERVED_TIERS),
  callerJurisdiction: jurisdiction,
  zoneJurisdiction: jurisdiction,
  startedAtMs: fc.nat(2 ** 52),
  firstByteMs,
  durationMs: fc.nat(2 ** 31),
  upstreamRequestId: fc.string({ maxLength: 40 }),
  quantities,
});

const record: fc.Arbitrary<JournalRecord> = fc.oneof(
  fact.map((each) => ({ type: "intent" as const, fact: each })),
  fact.map((each) => ({ type: "settle" as const, fact: each })),
  fc.record({
    type: fc.constant("progress" as const),
    requestId,
    attempt,
    firstByteMs,
    quantities,
  }),
);

test("records round-trip", () => {
  fc.assert(
    fc.property(record, (each) => {
      expect(decodeRecord(encodeRecord(each))).toEqual(each);
    }),
  );
});

test("a record cut anywhere, or followed by a byte, is refused", () => {
  fc.assert(
    fc.property(record, fc.double({ min: 0, max: 0.999, noNaN: true }), (each, where) => {
      const bytes = encodeRecord(each);
      expect(() => decodeRecord(bytes.subarray(0, Math.floor(bytes.length * where)))).toThrow(
        RangeError,
      );
      expect(() => decodeRecord(Uint8Array.from([...bytes, 0]))).toThrow(RangeError);
    }),
  );
});

test("version 1 bytes never change", () => {
  const golden: Fact = {
    requestId: asId<"req">(`req_${encodeId(new Uint8Array(16).fill(1))}`),
    attempt: 1,
    attemptKind: "first",
    endpoint: "chat",
    status: "ok",
    httpStatus: 200,
    streamed: true,
    firmRef: 1,
    organisationRef: 2,
    projectRef: 3,
    keyRef: 300,
    modelVersionRef: 5,
    zoneRef: 6,
    engineRef: 7,
    priceVersionRef: 8,
    snapshotSequence: 1000n,
    servedTier: "standard",
    callerJurisdiction: "DE",
    zoneJurisdiction: "ZZ",
    startedAtMs: 1_764_000_000_000,
    firstByteMs: 41,
    durationMs: 950,
    upstreamRequestId: "chatcmpl-1",
    quantities: [
      { meter: "input_tokens", source: "reported", amount: 12n },
      { meter: "output_tokens", source: "counted", amount: 340n },
    ],
  };
  expect(Buffer.from(encodeRecord({ type: "settle", fact: golden })).toString("hex")).toBe(
    "010201010101010101010101010101010101010000000001c801" +
      "010203ac0205060708e80744455a5a4279ab697e8000002ab6070a63686174636d706c2d310200000c0301d402",
  );
});

test("an unknown version is refused by number", () => {
  const bytes = encodeRecord({
    type: "progress",
    requestId: asId<"req">(`req_${"0".repeat(26)}`),
    attempt: 1,
    firstByteMs: -1,
    quantities: [],
  });
  bytes[0] = 9;
  expect(() => decodeRecord(bytes)).toThrow("version 9");
});

test("an over-long upstream id is cut at a character", () => {
  const long: JournalRecord = {
    type: "settle",
    fact: { ...(fc.sample(fact, 1)[0] as Fact), upstreamRequestId: "é".repeat(100) },
  };
  const back = decodeRecord(encodeRecord(long));
  expect(back.type === "settle" && back.fact.upstreamRequestId).toBe("é".repeat(64));
});
