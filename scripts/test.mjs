// `npm test [-- FILTER…]`: the static checks, then every test; the last line is `N passed, N failed`, the exit code says the same.
// Invariant: a check or a test file that does not even load counts as failed; nothing is counted as passed that did not run.

import { spawn } from "node:child_process";
import { ROOT, pinnedBun } from "./bun.mjs";
import { runChecks } from "./checks.mjs";

/** One test's bound; the whole-house walks start real processes. */
const TEST_TIMEOUT_MS = 60_000;

const PIPES_MAX_MS = 3_000;

/** `show`: whether its output is shown as it comes; what was held back is shown once `release` is called, or at its end. */
function runTests(filters, show = true) {
  const args = ["test", `--timeout=${TEST_TIMEOUT_MS}`, ...filters];
  const child = spawn(pinnedBun(), args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
  let shown = show;
  let held = [];
  let tail = "";
  const release = () => {
    shown = true;
    for (const bytes of held.splice(0)) process.stdout.write(bytes);
  };
  const relay = (bytes) => {
    tail = (tail + bytes).slice(-4_000);
    if (shown) process.stdout.write(bytes);
    else held.push(bytes);
  };
  child.stdout.on("data", relay);
  child.stderr.on("data", relay);
  const ended = new Promise((resolve) => {
    child.on("error", () => resolve({ code: 1, tail }));
    child.on("close", (code) => resolve({ code: code ?? 1, tail }));
    // A process that a failed test left behind may hold the pipes open for ever.
    child.on("exit", (code) => setTimeout(() => resolve({ code: code ?? 1, tail }), PIPES_MAX_MS));
  });
  return { ended, release };
}

/** Two cores: the rooms' own tests beside the whole-house walks, whose time goes into waiting for processes. */
async function runAll() {
  const rooms = runTests(["./src", "./sdk", "./console"]);
  const house = runTests(["./test"], false);
  const first = await rooms.ended;
  house.release();
  return [first, await house.ended];
}

/** bun ends with ` 12 pass`, ` 0 fail` and, for files that did not load, ` 1 error`. */
function countsIn(tail) {
  const count = (word) =>
    Number([...tail.matchAll(new RegExp(`^ *(\\d+) ${word}`, "gm"))].at(-1)?.[1] ?? 0);
  return { passed: count("pass"), failed: count("fail") + count("error") };
}

const filters = process.argv.slice(2);
const checks = filters.length === 0 ? await runChecks() : { passed: 0, failed: 0 };
const runs = filters.length === 0 ? await runAll() : [await runTests(filters).ended];
let { passed, failed } = checks;
for (const { code, tail } of runs) {
  const tests = countsIn(tail);
  passed += tests.passed;
  failed += code === 0 ? tests.failed : Math.max(tests.failed, 1);
}
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
