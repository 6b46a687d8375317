// Builds the console with Bun's bundler: hashed names, minified. Control calls it at start when a source is newer than what was built.
//   bun console/build.ts [OUT_DIR]
// Invariant: an interrupted or failed build leaves the previous one in place.

import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

const SOURCE = import.meta.dir;
/** The console's own code and what it is bundled with. */
const WATCHED = [
  SOURCE,
  join(SOURCE, "../sdk"),
  join(SOURCE, "../src/kit"),
  join(SOURCE, "../package-lock.json"),
];

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
      .sort()
      .map((name) => measure(join(outDir, name))),
  );
  const shellBytes = files.reduce((sum, file) => sum + file.gzipBytes, 0);
  return { built, tookMs: performance.now() - startedMs, shellBytes, files };
}

async function bundle(outDir: string): Promise<void> {
  const fresh = `${outDir}.${process.pid}.new`;
  rmSync(fresh, { recursive: true, force: true });
  const result = await Bun.build({
    entrypoints: [join(SOURCE, "index.html")],
    outdir: fresh,
    minify: true,
    publicPath: "/",
    naming: { entry: "[name].[ext]", chunk: "console-[hash].[ext]", asset: "[name]-[hash].[ext]" },
    define: { "process.env.NODE_ENV": '"production"' },
  });
  if (!result.success) throw new AggregateError(result.logs, "the console could not be built");
  rmSync(outDir, { recursive: true, force: true });
  mkdirSync(dirname(outDir), { recursive: true });
  renameSync(fresh, outDir);
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
