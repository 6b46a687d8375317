// Finds the pinned Bun and hands a process over to it: arguments, standard streams, signals and the exit code pass through.
// Invariant: plain Node >= 20 without dependencies, because it also runs in a checkout where nothing is installed yet.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Signals that a person or a service manager sends; SIGKILL cannot be passed on, children notice the closed pipe instead. */
const PASSED_ON = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"];

/** In a checkout bun lies in our own node_modules; installed as a package, in a folder further up. */
export function pinnedBun() {
  for (let folder = ROOT; ; folder = dirname(folder)) {
    const bun = join(folder, "node_modules", "bun", "bin", "bun.exe");
    if (existsSync(bun)) return bun;
    if (folder === dirname(folder)) return undefined;
  }
}

/** Runs bun and resolves with its exit code; 128 + n when signal n ended it, as shells say it. */
export function runBun(args, options = {}) {
  const bun = pinnedBun();
  if (bun === undefined) {
    process.stderr.write(
      `intertie: bun is not installed. Run \`node ${join(ROOT, "scripts", "install.mjs")}\`.\n`,
    );
    return Promise.resolve(1);
  }
  const child = spawn(bun, args, { stdio: "inherit", ...options });
  const passOn = (signal) => child.kill(signal);
  for (const signal of PASSED_ON) process.on(signal, passOn);
  return new Promise((resolve) => {
    child.on("error", (error) => {
      process.stderr.write(`intertie: bun does not start: ${error.message}\n`);
      resolve(1);
    });
    child.on("exit", (code, signal) => {
      for (const name of PASSED_ON) process.off(name, passOn);
      resolve(code ?? 128 + (constants.signals[signal] ?? 0));
    });
  });
}
