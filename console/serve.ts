// Serves the built console from memory: control mounts it in front of the API's routes.
// Invariant: a name with a hash or a version in it never changes its bytes and is kept for a year; the page that names them is never kept.

import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Handler } from "../src/http/server.ts";
import { buildConsole, ENCODINGS } from "./build.ts";

const OUT_DIR = resolve(import.meta.dir, "../dist/console");
/** What control answers itself. */
const ELSEWHERE = /^\/(api|uplink|healthz|readyz|metrics)(\/|$)/;
/** A path that names a file which is not one of ours is an error, not a page of the console. */
const FILE = /\.[a-z0-9]{1,8}$/i;
const READ_TRIES = 5;

/** Stricter than control's own: the console's styles are in files, and it talks only to where it came from. */
const PAGE_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-store",
  "content-security-policy":
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
};

type Bytes = Uint8Array<ArrayBuffer>;
type Files = ReadonlyMap<string, Bytes>;
interface Built {
  readonly page: Bytes;
  readonly files: Files;
}

export async function openConsoleHandler(outDir: string = OUT_DIR): Promise<Handler> {
  const { page, files } = await openFiles(outDir, READ_TRIES);
  return (request) => {
    if (request.method !== "GET" && request.method !== "HEAD") return undefined;
    const { pathname } = new URL(request.url);
    if (ELSEWHERE.test(pathname)) return undefined;
    const name = pathname.slice(1);
    if (name !== "index.html" && files.has(name)) return assetResponse(files, name, request);
    return FILE.test(name) && name !== "index.html"
      ? undefined
      : new Response(page, { headers: PAGE_HEADERS });
  };
}

/** Another process may put its own build in place between our build and our reading of it. */
async function openFiles(outDir: string, triesLeft: number): Promise<Built> {
  try {
    await buildConsole(outDir);
    const names = await readdir(outDir);
    const read = async (name: string) =>
      [name, await Bun.file(join(outDir, name)).bytes()] as const;
    const files = new Map(await Promise.all(names.map(read)));
    const page = files.get("index.html");
    if (!page) throw new Error(`${outDir} holds no built console`);
    return { page, files };
  } catch (error) {
    if (triesLeft <= 1) throw error;
    return openFiles(outDir, triesLeft - 1);
  }
}

function assetResponse(files: Files, name: string, request: Request): Response {
  const accepted = request.headers.get("accept-encoding") ?? "";
  const encoding = ENCODINGS.find(
    ({ token, suffix }) => accepts(accepted, token) && files.has(name + suffix),
  );
  return new Response(files.get(encoding ? name + encoding.suffix : name) ?? null, {
    headers: {
      "content-type": Bun.file(name).type,
      "cache-control": "public, max-age=31536000, immutable",
      vary: "accept-encoding",
      ...(encoding ? { "content-encoding": encoding.token } : {}),
    },
  });
}

/** `br`, `gzip;q=0.8`; a weight of zero refuses. */
function accepts(header: string, token: string): boolean {
  return header.split(",").some((part) => {
    const [name = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
    return name === token && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}
