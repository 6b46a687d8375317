// `npm run check`: types, lint and format; exits 1 when one of them finds something.

import { runChecks } from "./checks.mjs";

process.exitCode = (await runChecks()).failed === 0 ? 0 : 1;
