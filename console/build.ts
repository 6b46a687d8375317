// Builds the console with Bun's bundler: hashed names, minified, compressed beside. Nothing is done while the last build is newer than all sources.
//   bun console/build.ts [OUT_DIR]
// Invariant: an interrupted or failed build leaves the previous one in place.

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const SOURCE = import.meta.dir;
/** Not bundled: a font inside the style sheet would be a data: URL. Its name carries its version instead of a hash. */
const FONTS = join(SOURCE, "fonts");
/** The console's own code and what it is bundled with. */
const WATCHED = [
  SOURCE,
  join(SOURCE, "../sdk"),
  join(SOURCE, "../src/kit"),
  join(SOURCE, "../package-lock.json"),
];

/** The first that a browser accepts is sent. */
export const ENCODINGS = [
  { token: "br", suffix: ".br" },
  { token: "gzip", suffix: ".gz" },
] as const;
const isCompressed = (name: string) => ENCODINGS.some(({ suffix }) => name.endsWith(suffix));
/** Quality 9 is 3 % larger than 11 and ten times as fast. */
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } };

export interface ConsoleBuild {
  /** False: what was there is newer than every source. */
  readonly built: boolean;
  readonly tookMs: number;
  /** Gzip bytes of what a first visit loads. */
  readonly shellBytes: number;
  readonly files: readonly {
    readonly name: string;
    readonly bytes: number;
    readonly gzipBytes: number;
  }[];
}

export async function buildConsole(outDir: string): Promise<ConsoleBuild> {
  const startedMs = performance.now();
  const built = newestMs(WATCHED) > modifiedMs(join(outDir, "index.html"));
  if (built) await bundle(outDir);
  const files = await Promise.all(
    readdirSync(outDir)
      .filter((name) => !isCompressed(name))
      .sort()
      .map((name) => measure(join(outDir, name))),
  );
  const shellBytes = files.reduce((sum, file) => sum + file.gzipBytes, 0);
  return { built, tookMs: performance.now() - startedMs, shellBytes, files };
}

async function bundle(outDir: string): Promise<void> {
  const fresh = `${outDir}.${crypto.randomUUID()}.new`;
  const result = await Bun.build({
    entrypoints: [join(SOURCE, "index.html")],
    outdir: fresh,
    minify: true,
    external: ["*.woff2"],
    publicPath: "/",
    naming: { entry: "[name].[ext]", chunk: "console-[hash].[ext]", asset: "[name]-[hash].[ext]" },
    define: { "process.env.NODE_ENV": '"production"' },
  });
  if (!result.success) throw new AggregateError(result.logs, "the console could not be built");
  for (const name of readdirSync(FONTS).filter((file) => file.endsWith(".woff2")))
    copyFileSync(join(FONTS, name), join(fresh, name));
  await Promise.all(result.outputs.map(({ path }) => compress(path)));
  replaceFolder(fresh, outDir);
}

async function compress(path: string): Promise<void> {
  if (!/\.(js|css|svg)$/.test(path)) return;
  const bytes = await Bun.file(path).bytes();
  await Promise.all([
    promisify(brotliCompress)(bytes, BROTLI).then((small) => Bun.write(`${path}.br`, small)),
    promisify(gzip)(bytes, { level: 9 }).then((small) => Bun.write(`${path}.gz`, small)),
  ]);
}

/** Two processes that build at once both end with a whole folder: the loser drops its own. */
function replaceFolder(fresh: string, outDir: string): void {
  const old = `${outDir}.${crypto.randomUUID()}.old`;
  mkdirSync(dirname(outDir), { recursive: true });
  try {
    if (existsSync(outDir)) renameSync(outDir, old);
    renameSync(fresh, outDir);
  } catch (error) {
    if (!existsSync(join(outDir, "index.html"))) throw error;
  } finally {
    for (const left of [fresh, old]) rmSync(left, { recursive: true, force: true });
  }
}

function modifiedMs(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? -1;
}

function newestMs(paths: readonly string[]): number {
  const files = paths.flatMap((path) =>
    statSync(path, { throwIfNoEntry: false })?.isDirectory()
      ? readdirSync(path, { recursive: true, encoding: "utf8" }).map((name) => join(path, name))
      : [path],
  );
  return Math.max(0, ...files.map(modifiedMs));
}

async function measure(path: string) {
  const bytes = await Bun.file(path).bytes();
  return { name: basename(path), bytes: bytes.length, gzipBytes: Bun.gzipSync(bytes).length };
}

if (import.meta.main) {
  const { built, tookMs, shellBytes, files } = await buildConsole(
    resolve(process.argv[2] ?? join(SOURCE, "../dist/console")),
  );
  const kilobytes = (bytes: number) => `${(bytes / 1_000).toFixed(1)} kB`;
  for (const file of files)
    console.log(
      `${file.name.padEnd(28)} ${kilobytes(file.bytes).padStart(10)}  gzip ${kilobytes(file.gzipBytes)}`,
    );
  console.log(
    `${built ? "built" : "already built"} in ${Math.round(tookMs)} ms, shell ${kilobytes(shellBytes)} gzipped`,
  );
}
