// Fetches one file of known size and digest into a `.part` file, and goes on where an earlier try stopped.
// Invariant: when it resolves, the file holds exactly the pinned bytes, synced; a file with other bytes of that size is deleted.

import { createReadStream } from "node:fs";
import { open, rm, stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { Fault, isFault } from "../../kit/fault.ts";
import { errorText } from "../../kit/log.ts";

export interface Wanted {
  readonly url: string;
  readonly bytes: number;
  readonly digest: string;
}

/** How to reach a place: trusted certificates, a proxy, credentials. */
export interface Reach {
  readonly headers?: Readonly<Record<string, string>>;
  readonly ca?: string;
  readonly proxy?: string;
}

export interface DownloadOptions {
  readonly signal: AbortSignal;
  readonly onBytes: (done: number) => void;
  /** Waits after a cut, then after one, two … tries in a row that gained nothing; then it is given up. */
  readonly pausesMs?: readonly number[];
}

const PAUSES_MS = [200, 1_000, 2_000, 4_000, 8_000];
const ANSWER_WITHIN_MS = 15_000;
const SILENCE_MAX_MS = 30_000;

export function unavailable(message: string, cause?: unknown): Fault {
  return new Fault("artifact.unavailable", { message, cause });
}

export const hostOf = (url: string) => new URL(url).host;

export async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}

export async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 1 << 20 }))
    hash.update(chunk);
  return hash.digest("hex");
}

/** Aborts with the outer signal, or when `beat` has not been called for so long. */
function openWatch(outer: AbortSignal) {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const beat = (withinMs: number) => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error(`no byte for ${withinMs} ms`)), withinMs);
  };
  const stop = () => clearTimeout(timer);
  return { signal: AbortSignal.any([outer, silence.signal]), beat, stop };
}

export function fetchFrom(url: string, reach: Reach, init: RequestInit): Promise<Response> {
  return fetch(url, {
    ...init,
    headers: { ...reach.headers, ...(init.headers as Record<string, string> | undefined) },
    ...(reach.ca === undefined ? {} : { tls: { ca: reach.ca } }),
    ...(reach.proxy === undefined ? {} : { proxy: reach.proxy }),
  });
}

/** Where the answer's first byte belongs; throws when the place does not have this very file. */
function beginOf(response: Response, wanted: Wanted, have: number): number {
  const host = hostOf(wanted.url);
  const { status, headers } = response;
  if (status !== 200 && status !== 206) throw unavailable(`${host} answers ${status}`);
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
  const begin = status === 206 ? Number(range?.[1] ?? Number.NaN) : 0;
  const length = headers.get("content-length");
  const total = status === 206 ? range?.[2] : length;
  if (total !== null && total !== undefined && total !== "*" && Number(total) !== wanted.bytes)
    throw unavailable(`${host} has a file of ${total} bytes there, not of ${wanted.bytes}`);
  if (begin !== 0 && begin !== have) throw unavailable(`${host} answers another range than asked`);
  return begin;
}

/** One request: what it brings goes to the end of the part file. Resolves when the answer ends, which may be too early. */
async function attempt(
  wanted: Wanted,
  reach: Reach,
  part: string,
  options: DownloadOptions,
): Promise<void> {
  const have = await sizeOf(part);
  const watch = openWatch(options.signal);
  watch.beat(ANSWER_WITHIN_MS);
  try {
    const range = have > 0 ? { range: `bytes=${have}-` } : {};
    const headers = { "accept-encoding": "identity", ...range };
    const response = await fetchFrom(wanted.url, reach, { headers, signal: watch.signal });
    const begin = beginOf(response, wanted, have);
    const file = await open(part, begin === 0 ? "w" : "a", 0o600);
    try {
      let done = begin;
      for await (const chunk of response.body ?? []) {
        watch.beat(SILENCE_MAX_MS);
        done += chunk.length;
        if (done > wanted.bytes) throw unavailable(`${hostOf(wanted.url)} sends too much`);
        await file.writeFile(chunk);
        options.onBytes(done);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  } finally {
    watch.stop();
  }
}

/** Tries again after cuts: for as long as tries gain bytes, and a few times more. A place that never answers is tried once. */
async function complete(
  wanted: Wanted,
  reach: Reach,
  part: string,
  options: DownloadOptions,
): Promise<void> {
  const pauses = options.pausesMs ?? PAUSES_MS;
  let have = await sizeOf(part);
  if (have > wanted.bytes) await rm(part);
  let fruitless = Number.POSITIVE_INFINITY;
  while (have !== wanted.bytes) {
    const problem = await attempt(wanted, reach, part, options).then(
      () => undefined,
      (error: unknown) => error,
    );
    options.signal.throwIfAborted();
    if (isFault(problem)) throw problem;
    const now = await sizeOf(part);
    fruitless = now > have ? 0 : fruitless + 1;
    have = now;
    if (have === wanted.bytes) return;
    const pause = pauses[fruitless];
    if (pause === undefined) {
      const why = problem === undefined ? "its answer ends early" : errorText(problem);
      throw unavailable(`${hostOf(wanted.url)} cannot be reached: ${why}`, problem);
    }
    await delay(pause, undefined, { signal: options.signal });
  }
}

/** Throws `artifact.unavailable` when this place does not give the file, `artifact.digest` when it gives other bytes. */
export async function download(
  wanted: Wanted,
  reach: Reach,
  part: string,
  options: DownloadOptions,
): Promise<void> {
  await complete(wanted, reach, part, options);
  const digest = await digestOf(part, options.signal);
  if (digest === wanted.digest) return;
  await rm(part);
  throw new Fault("artifact.digest", {
    message: `${hostOf(wanted.url)} gave a file whose digest is ${digest}, pinned is ${wanted.digest}`,
  });
}
