// The binary form of journal records, version 1: a version byte, a type byte, then fixed fields and varints.
// Invariants: decode(encode(x)) = x; codes are indexes into the lists of types.ts, which only ever grow; an unknown version
// or a cut record is an error value, never a guess.

import { asId, decodeId, encodeId, type RequestId } from "../../kit/id.ts";
import {
  ATTEMPT_KINDS,
  ENDPOINTS,
  FACT_STATUSES,
  METERS,
  QUANTITY_SOURCES,
  SERVED_TIERS,
  type Fact,
  type JournalRecord,
  type Quantity,
} from "./types.ts";

export const RECORD_VERSION = 1;
const TYPES = ["intent", "progress", "settle"] as const;
const UPSTREAM_ID_BYTES_MAX = 128;

/** A growing buffer that is reused from record to record; only the finished bytes are copied out. */
class Writer {
  #bytes = new Uint8Array(512);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  reset(): void {
    this.#at = 0;
  }

  #room(count: number): void {
    if (this.#at + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#at + count));
    grown.set(this.#bytes);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  u8(value: number): void {
    this.#room(1);
    this.#bytes[this.#at] = value;
    this.#at += 1;
  }

  /** Non-negative, below 2^53. */
  varint(value: number): void {
    this.#room(8);
    let rest = value;
    while (rest > 127) {
      this.#bytes[this.#at] = (rest % 128) + 128;
      this.#at += 1;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.#at] = rest;
    this.#at += 1;
  }

  bigVarint(value: bigint): void {
    if (value < 9_007_199_254_740_992n) {
      this.varint(Number(value));
      return;
    }
    let rest = value;
    while (rest > 127n) {
      this.u8(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    this.u8(Number(rest));
  }

  f64(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.#at, value);
    this.#at += 8;
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#at);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw new RangeError("the record is cut");
    this.#at += 1;
    return value;
  }

  bigVarint(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.u8();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  f64(): number {
    if (this.#at + 8 > this.#bytes.length) throw new RangeError("the record is cut");
    const value = this.#view.getFloat64(this.#at);
    this.#at += 8;
    return value;
  }

  raw(count: number): Uint8Array {
    if (this.#at + count > this.#bytes.length) throw new RangeError("the record is cut");
    const bytes = this.#bytes.subarray(this.#at, this.#at + count);
    this.#at += count;
    return bytes;
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new RangeError("bytes follow the record");
  }
}

const codeOf = <T>(list: readonly T[], value: T) => list.indexOf(value);

function named<T>(list: readonly T[], code: number, what: string): T {
  const value = list[code];
  if (value === undefined) throw new RangeError(`unknown ${what} ${code}`);
  return value;
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

const upstreamIdBytes = new Uint8Array(UPSTREAM_ID_BYTES_MAX);

/** At most 128 bytes, cut at a character. */
function writeUpstreamId(writer: Writer, id: string): void {
  const { written } = utf8.encodeInto(id, upstreamIdBytes);
  writer.u8(written);
  for (let index = 0; index < written; index += 1) writer.u8(upstreamIdBytes[index] ?? 0);
}

function writeId(writer: Writer, id: RequestId): void {
  const bytes = decodeId(id);
  if (bytes === undefined) throw new RangeError(`${id} is no request id`);
  writer.raw(bytes);
}

function writeJurisdiction(writer: Writer, code: string): void {
  writer.u8(code.charCodeAt(0));
  writer.u8(code.charCodeAt(1));
}

function writeQuantities(writer: Writer, quantities: readonly Quantity[]): void {
  writer.varint(quantities.length);
  for (const { meter, source, amount } of quantities) {
    writer.u8(codeOf(METERS, meter));
    writer.u8(codeOf(QUANTITY_SOURCES, source));
    writer.bigVarint(amount);
  }
}

function readQuantities(reader: Reader): Quantity[] {
  return Array.from({ length: reader.varint() }, () => ({
    meter: named(METERS, reader.u8(), "meter"),
    source: named(QUANTITY_SOURCES, reader.u8(), "source"),
    amount: reader.bigVarint(),
  }));
}

function writeFact(writer: Writer, fact: Fact): void {
  writeId(writer, fact.requestId);
  writer.u8(fact.attempt);
  writer.u8(codeOf(ATTEMPT_KINDS, fact.attemptKind));
  writer.u8(codeOf(ENDPOINTS, fact.endpoint));
  writer.u8(codeOf(FACT_STATUSES, fact.status));
  writer.u8(codeOf(SERVED_TIERS, fact.servedTier));
  writer.u8(fact.streamed ? 1 : 0);
  writer.varint(fact.httpStatus);
  writer.varint(fact.firmRef);
  writer.varint(fact.organisationRef);
  writer.varint(fact.projectRef);
  writer.varint(fact.keyRef);
  writer.varint(fact.modelVersionRef);
  writer.varint(fact.zoneRef);
  writer.varint(fact.engineRef);
  writer.varint(fact.priceVersionRef);
  writer.bigVarint(fact.snapshotSequence);
  writeJurisdiction(writer, fact.callerJurisdiction);
  writeJurisdiction(writer, fact.zoneJurisdiction);
  writer.f64(fact.startedAtMs);
  writer.varint(fact.firstByteMs + 1);
  writer.varint(fact.durationMs);
  writeUpstreamId(writer, fact.upstreamRequestId);
  writeQuantities(writer, fact.quantities);
}

function readFact(reader: Reader): Fact {
  const requestId = asId<"req">(`req_${encodeId(reader.raw(16))}`);
  const jurisdiction = () => String.fromCharCode(reader.u8(), reader.u8());
  return {
    requestId,
    attempt: reader.u8(),
    attemptKind: named(ATTEMPT_KINDS, reader.u8(), "attempt kind"),
    endpoint: named(ENDPOINTS, reader.u8(), "endpoint"),
    status: named(FACT_STATUSES, reader.u8(), "status"),
    servedTier: named(SERVED_TIERS, reader.u8(), "tier"),
    streamed: reader.u8() === 1,
    httpStatus: reader.varint(),
    firmRef: reader.varint(),
    organisationRef: reader.varint(),
    projectRef: reader.varint(),
    keyRef: reader.varint(),
    modelVersionRef: reader.varint(),
    zoneRef: reader.varint(),
    engineRef: reader.varint(),
    priceVersionRef: reader.varint(),
    snapshotSequence: reader.bigVarint(),
    callerJurisdiction: jurisdiction(),
    zoneJurisdiction: jurisdiction(),
    startedAtMs: reader.f64(),
    firstByteMs: reader.varint() - 1,
    durationMs: reader.varint(),
    upstreamRequestId: text.decode(reader.raw(reader.u8())),
    quantities: readQuantities(reader),
  };
}

const shared = new Writer();

/** About 90 bytes for a fact with two quantities. Throws RangeError when a field is out of its range. */
export function encodeRecord(record: JournalRecord): Uint8Array {
  shared.reset();
  shared.u8(RECORD_VERSION);
  shared.u8(codeOf(TYPES, record.type));
  if (record.type === "progress") {
    writeId(shared, record.requestId);
    shared.u8(record.attempt);
    shared.varint(record.firstByteMs + 1);
    writeQuantities(shared, record.quantities);
  } else {
    writeFact(shared, record.fact);
  }
  return shared.finish();
}

/** Throws RangeError on an unknown version or code, a cut record, or bytes that follow it. */
export function decodeRecord(bytes: Uint8Array): JournalRecord {
  const reader = new Reader(bytes);
  const version = reader.u8();
  if (version !== RECORD_VERSION)
    throw new RangeError(`record version ${version} is not ${RECORD_VERSION}`);
  const type = named(TYPES, reader.u8(), "record type");
  const record: JournalRecord =
    type === "progress"
      ? {
          type,
          requestId: asId<"req">(`req_${encodeId(reader.raw(16))}`),
          attempt: reader.u8(),
          firstByteMs: reader.varint() - 1,
          quantities: readQuantities(reader),
        }
      : { type, fact: readFact(reader) };
  reader.end();
  return record;
}
