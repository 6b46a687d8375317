// The console as control serves it: what is kept, what is not, what is somebody else's.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import type { Handler } from "../src/http/server.ts";
import { openConsoleHandler } from "./serve.ts";

const folder = mkdtempSync(join(tmpdir(), "intertie-console-"));
const outDir = join(folder, "built");
let handler: Handler;
let script: string;
const ask = (path: string, headers: Record<string, string> = {}, method = "GET") =>
  handler(new Request(`http://localhost${path}`, { headers, method }));

beforeAll(async () => {
  handler = await openConsoleHandler(outDir);
  const page = await (await ask("/"))?.text();
  script = /src="(\/console-[^"]+\.js)"/.exec(page ?? "")?.[1] ?? "";
});
afterAll(() => rmSync(folder, { recursive: true }));

test("every page's address answers the one page, never kept, with scripts only from here", async () => {
  for (const path of ["/", "/index.html", "/requests/req_1?row=a.b", "/no-such-page"]) {
    const response = await ask(path);
    expect(response?.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(response?.headers.get("cache-control")).toBe("no-store");
    const policy = response?.headers.get("content-security-policy") ?? "";
    expect(policy).toStartWith("default-src 'self'");
    expect(policy).not.toContain("unsafe");
    expect(await response?.text()).toContain('<div id="console">');
  }
});

test("what control answers itself, a file that is not there and a change are left to others", async () => {
  for (const path of ["/api/v1/keys", "/uplink/v1/feed", "/healthz", "/readyz", "/metrics"])
    expect(await ask(path)).toBeUndefined();
  expect(await ask("/console-old.js")).toBeUndefined();
  expect(await ask("/../package.json")).toBeUndefined();
  expect(await ask("/", {}, "POST")).toBeUndefined();
  expect((await ask("/apiary"))?.status).toBe(200);
});

test("hashed files are kept for a year and sent as small as the browser takes them", async () => {
  const sent = async (accepted: string) => {
    const response = await ask(script, { "accept-encoding": accepted });
    const bytes = new Uint8Array((await response?.arrayBuffer()) ?? []);
    return { bytes, headers: response?.headers };
  };
  const plain = await sent("identity");
  expect(plain.headers?.get("content-type")).toStartWith("text/javascript");
  expect(plain.headers?.get("cache-control")).toBe("public, max-age=31536000, immutable");
  expect(plain.headers?.get("vary")).toBe("accept-encoding");
  expect(plain.headers?.get("content-encoding")).toBeNull();
  const brotli = await sent("gzip, deflate, br, zstd");
  expect(brotli.headers?.get("content-encoding")).toBe("br");
  expect(new Uint8Array(brotliDecompressSync(brotli.bytes))).toEqual(plain.bytes);
  const gzip = await sent("gzip;q=0.5, br;q=0");
  expect(gzip.headers?.get("content-encoding")).toBe("gzip");
  expect(Bun.gunzipSync(gzip.bytes)).toEqual(plain.bytes);
});

test("a second start builds nothing, and several at once all serve a whole console", async () => {
  const before = statSync(join(outDir, "index.html")).mtimeMs;
  await openConsoleHandler(outDir);
  expect(statSync(join(outDir, "index.html")).mtimeMs).toBe(before);
  const fresh = join(folder, "both");
  const both = await Promise.all([1, 2, 3].map(() => openConsoleHandler(fresh)));
  expect(readdirSync(folder).sort()).toEqual(["both", "built"]);
  for (const one of both) {
    const response = await one(new Request(`http://localhost${script}`));
    expect(response?.status).toBe(200);
  }
});
