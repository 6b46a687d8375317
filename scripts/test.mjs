// `npm test [-- FILTER…]`: the static checks, then every test; the last line is `N passed, N failed`, the exit code says the same.
// Invariant: a check or a test file that does not even load counts as failed; nothing is counted as passed that did not run.

import { spawn } from "node:child_process";
import { ROOT, pinnedBun } from "./bun.mjs";
import { runChecks } from "./checks.mjs";

/** One test's bound; the whole-house walks start real processes. */
const TEST_TIMEOUT_MS = 60_000;

function runTests(filters) {
  return new Promise((resolve) => {
    const args = ["test", `--timeout=${TEST_TIMEOUT_MS}`, ...filters];
    const child = spawn(pinnedBun(), args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child.kill(signal));
    let tail = "";
    const relay = (stream) => (bytes) => {
      stream.write(bytes);
      tail = (tail + bytes).slice(-4_000);
    };
    child.stdout.on("data", relay(process.stdout));
    child.stderr.on("data", relay(process.stderr));
    child.on("error", () => resolve({ code: 1, tail }));
    child.on("close", (code) => resolve({ code: code ?? 1, tail }));
  });
}

/** bun ends with ` 12 pass`, ` 0 fail` and, for files that did not load, ` 1 error`. */
function countsIn(tail) {
  const count = (word) =>
    Number([...tail.matchAll(new RegExp(`^ *(\\d+) ${word}`, "gm"))].at(-1)?.[1] ?? 0);
  return { passed: count("pass"), failed: count("fail") + count("error") };
}

const filters = process.argv.slice(2);
const checks = filters.length === 0 ? await runChecks() : { passed: 0, failed: 0 };
const { code, tail } = await runTests(filters);
const tests = countsIn(tail);
const passed = checks.passed + tests.passed;
const failed = checks.failed + (code === 0 ? tests.failed : Math.max(tests.failed, 1));
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
