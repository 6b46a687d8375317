// `npm run torture -- --kills N --seed S [--losses L]`: kills the processes of a whole running Intertie, cuts the power of journals,
// then counts what was billed. The last line is one JSON object; the exit code is 1 when anything was lost, doubled or does not add up.

import { torture } from "./torture.ts";

function numberAfter(name: string, fallback: number): number {
  const at = process.argv.indexOf(`--${name}`);
  if (at < 0) return fallback;
  const value = Number(process.argv[at + 1]);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`torture: --${name} takes a whole number\n`);
  process.exit(2);
}

const kills = numberAfter("kills", 100);
const lively = process.stderr.isTTY;
const result = await torture({
  kills,
  losses: numberAfter("losses", Math.max(100, kills)),
  seed: numberAfter("seed", 1),
  say: (line) => process.stderr.write(`torture: ${line}\n`),
  onKill: (done) => {
    if (lively) process.stderr.write(`\rtorture: ${done}/${kills} kills `);
    else if (done % 50 === 0) process.stderr.write(`torture: ${done}/${kills} kills\n`);
  },
});
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(result.lost + result.doubled + result.unaccounted + result.flaws.length > 0 ? 1 : 0);
