// `node scripts/run.mjs FILE …args`: runs a TypeScript entry with the pinned bun, from the repository's root.

import { ROOT, runBun } from "./bun.mjs";

process.exitCode = await runBun(process.argv.slice(2), { cwd: ROOT });
