// The house rules of AGENTS.md as a test: doors between wings, sizes, headers, environment reads, suppressions.
// Imports are found by one regular expression; medians are printed so that drift is seen.

import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dir, "..");
const LINES_MAX = 400;
const ROOM_FILES_MAX = 16;
const IMPORT = /^(?:import|export)\s[^;]*?from\s+['"](\.[^'"]+)['"]/gm;

/** Each wing may import the wings to its left (and itself). */
const STAIRS = [
  "kit",
  "db",
  "http",
  "identity",
  "audit",
  "models",
  "zones",
  "billing",
  "objects",
  "data",
  "training",
  "board",
  "system",
];
const GATEWAY_MAY = ["kit", "snapshot/types.ts", "snapshot/read.ts", "uplink"];
const ACROSS = /(^|\/)([a-z-]+\.)?(types|rules|state)\.ts$/;

interface Source {
  readonly path: string;
  readonly text: string;
  /** The text without whole-line comments, so that prose is not taken for code. */
  readonly code: string;
  readonly imports: readonly string[];
}

function filesUnder(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter(
      (name) => /\.tsx?$/.test(name) && !name.endsWith(".gen.ts") && !name.includes("node_modules"),
    )
    .map((name) => join(folder, name));
}

function existing(folder: string): string[] {
  try {
    return filesUnder(folder);
  } catch {
    return [];
  }
}

const sources: Source[] = ["src", "sdk", "console", "test", "bench"]
  .flatMap(existing)
  .map((path) => {
    const text = readFileSync(join(ROOT, path), "utf8");
    const imports = [...text.matchAll(IMPORT)].map((match) =>
      relative(ROOT, join(ROOT, dirname(path), match[1] ?? "")),
    );
    const code = text.replaceAll(/^\s*(?:\/\/|\/?\*).*$/gm, "");
    return { path, text, code, imports };
  });
const product = sources.filter(
  (source) => source.path.startsWith("src/") && !/\.test\.tsx?$/.test(source.path),
);

const wingOf = (path: string) => path.split("/")[1] ?? "";
const roomOf = (path: string) => path.split("/").slice(1, 3).join("/");
const median = (values: number[]) =>
  values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

function doorIsOpen(from: string, to: string): boolean {
  if (!to.startsWith("src/"))
    return from === "src/main.ts" || ["cli", "run"].includes(wingOf(from));
  const [here, there] = [wingOf(from), wingOf(to)];
  const inside = to.slice("src/".length);
  if (here === there || here === "run" || from.split("/").length === 2) return true;
  if (here === "gateway")
    return (
      GATEWAY_MAY.some((door) => inside.startsWith(door)) ||
      (ACROSS.test(to) && STAIRS.includes(there))
    );
  if (here === "uplink")
    return there === "kit" || there === "http" || ACROSS.test(to) || inside === "snapshot/types.ts";
  if (here === "snapshot") return STAIRS.includes(there);
  if (here === "engine") return there === "kit" || ACROSS.test(to);
  if (here === "cli") return there !== "gateway" && there !== "db";
  if (here === "verify") return false;
  return STAIRS.indexOf(there) >= 0 && STAIRS.indexOf(there) <= STAIRS.indexOf(here);
}

test("nothing points up: every import goes through an open door", () => {
  const shut = product.flatMap((source) =>
    source.imports
      .filter((to) => !doorIsOpen(source.path, to))
      .map((to) => `${source.path} → ${to}`),
  );
  expect(shut).toEqual([]);
});

test("across rooms of a wing only types, rules and state are imported", () => {
  const open = new Set([
    "kit",
    "db",
    "http",
    "gateway",
    "cli",
    "snapshot",
    "uplink",
    "engine",
    "verify",
    "run",
  ]);
  const shut = product.flatMap((source) =>
    source.imports
      .filter(
        (to) =>
          to.startsWith("src/") &&
          to.split("/").length > 2 &&
          source.path.split("/").length > 2 &&
          !open.has(wingOf(to)) &&
          // The compiler joins what it reads, the roles wire everything.
          !["snapshot", "run"].includes(wingOf(source.path)),
      )
      .filter((to) => roomOf(to) !== roomOf(source.path) && !ACROSS.test(to))
      .map((to) => `${source.path} → ${to}`),
  );
  expect(shut).toEqual([]);
});

test("the gateway touches no database, store, service or routes", () => {
  const shut = product
    .filter((source) => wingOf(source.path) === "gateway")
    .flatMap((source) =>
      source.imports
        .filter((to) => /\/(store|service|routes|jobs)\.ts$/.test(to) || to.startsWith("src/db/"))
        .map((to) => `${source.path} → ${to}`),
    );
  expect(shut).toEqual([]);
});

test("rules and state are pure: no clock, dice, environment or I/O", () => {
  const impure =
    /Date\.now|performance\.now|Math\.random|process\.|Bun\.|from ['"]node:(fs|net|http|child_process|os)|fetch\(|console\./;
  const found = product
    .filter((source) => /(^|\/|\.)(rules|state)\.ts$/.test(source.path) && impure.test(source.code))
    .map((source) => source.path);
  expect(found).toEqual([]);
});

test("the environment is read in one place", () => {
  const readers = product
    .filter((source) => /process\.env|Bun\.env|import\.meta\.env/.test(source.text))
    .map((source) => source.path);
  expect(readers.filter((path) => path !== "src/config.ts")).toEqual([]);
});

test(`files have a header and at most ${LINES_MAX} lines`, () => {
  const long = sources
    .filter((source) => source.text.split("\n").length > LINES_MAX + 1)
    .map((source) => source.path);
  const bare = sources
    .filter((source) => !/^(#!.*\n)?(\/\/|\/\*)/.test(source.text))
    .filter((source) => !/\.test\.tsx?$/.test(source.path))
    .map((source) => source.path);
  expect(long).toEqual([]);
  expect(bare).toEqual([]);
});

test(`a room holds at most ${ROOM_FILES_MAX} files, tests apart`, () => {
  const rooms = new Map<string, number>();
  for (const source of product)
    rooms.set(dirname(source.path), (rooms.get(dirname(source.path)) ?? 0) + 1);
  expect([...rooms].filter(([, count]) => count > ROOM_FILES_MAX)).toEqual([]);
});

test("no barrels, default exports, enums, any, non-null assertions or silent suppressions", () => {
  const soft =
    /^export default|^\s*(?:export\s+)?(?:const\s+)?enum\s|:\s*any\b|\bas any\b|@ts-ignore|@ts-nocheck|\.skip\(|\.only\(/m;
  const found = sources
    .filter((source) => soft.test(source.code) || /(^|\/)index\.tsx?$/.test(source.path))
    .map((source) => source.path);
  expect(found.filter((path) => path !== "src/house.test.ts")).toEqual([]);
});

test("words that date a file are absent", () => {
  const dated = new RegExp(["TO", "DO|FIX", "ME|XX", "X\\b"].join(""));
  expect(sources.filter((source) => dated.test(source.text)).map((source) => source.path)).toEqual(
    [],
  );
});

test("the house reports its medians", () => {
  const lines = product.map((source) => source.text.split("\n").length);
  console.log(
    `house: ${product.length} product files, median ${median(lines)} lines, ${lines.reduce((sum, count) => sum + count, 0)} in all`,
  );
  expect(median(lines)).toBeLessThanOrEqual(160);
});
