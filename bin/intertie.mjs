#!/usr/bin/env node
// The `intertie` command: Node finds the pinned bun, bun runs src/main.ts in the caller's own folder.

import { join } from "node:path";
import { ROOT, runBun } from "../scripts/bun.mjs";

process.exitCode = await runBun([join(ROOT, "src", "main.ts"), ...process.argv.slice(2)]);
