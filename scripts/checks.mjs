// The static checks: types, lint, format. Each says passed or failed in one line and shows its findings only when it failed.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./bun.mjs";

const FOLDERS = ["src", "sdk", "console", "test", "bench", "scripts", "bin"].filter((folder) =>
  existsSync(join(ROOT, folder)),
);

const CHECKS = [
  ["types", "tsc", ["-p", "."]],
  ["lint", "oxlint", FOLDERS],
  ["format", "oxfmt", ["--check", ...FOLDERS]],
];

function runCheck(tool, args) {
  return new Promise((resolve) => {
    const child = spawn(join(ROOT, "node_modules", ".bin", tool), args, { cwd: ROOT });
    let output = "";
    child.stdout.on("data", (bytes) => (output += bytes));
    child.stderr.on("data", (bytes) => (output += bytes));
    child.on("error", (error) => resolve({ ok: false, output: error.message }));
    child.on("close", (code) => resolve({ ok: code === 0, output }));
  });
}

export async function runChecks() {
  const counts = { passed: 0, failed: 0 };
  for (const [name, tool, args] of CHECKS) {
    const startedMs = Date.now();
    const { ok, output } = await runCheck(tool, args);
    counts[ok ? "passed" : "failed"] += 1;
    if (!ok) process.stdout.write(`${output.trimEnd()}\n`);
    process.stdout.write(
      `check ${name}: ${ok ? "passed" : "FAILED"} (${((Date.now() - startedMs) / 1000).toFixed(1)} s)\n`,
    );
  }
  return counts;
}
