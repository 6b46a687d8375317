// Kills processes of a running stack at random moments with SIGKILL, and cuts their open connections with them.
// Invariant: only process ids that this very stack wrote down are ever killed.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Dice } from "../../src/kit/clock.ts";
import type { Stack } from "../stack.ts";

/** Gateways hold the facts, so they die most often; the database dies too. */
const WEIGHTS = { gateway: 6, control: 2, worker: 2, postgres: 1 } as const;
type Victim = keyof typeof WEIGHTS;

export interface Kills {
  readonly counts: Readonly<Record<Victim, number>>;
}

function victimOf(dice: Dice): Victim {
  const names: Victim[] = ["gateway", "control", "worker", "postgres"];
  let at = dice.next() * names.reduce((sum, name) => sum + WEIGHTS[name], 0);
  return names.find((name) => (at -= WEIGHTS[name]) < 0) ?? "gateway";
}

function postmaster(dataDir: string): number {
  try {
    const text = readFileSync(join(dataDir, "postgres", "data", "postmaster.pid"), "utf8");
    return Number(text.split("\n")[0]);
  } catch {
    return 0;
  }
}

function pidsOf(stack: Stack, victim: Victim): number[] {
  if (victim === "postgres") return [postmaster(stack.dataDir)];
  return stack
    .state()
    .roles.filter(({ name }) => name.replace(/-\d+$/, "") === victim)
    .map(({ pid }) => pid);
}

function kill(pid: number): boolean {
  try {
    process.kill(pid, "SIGKILL");
    return true;
  } catch {
    return false;
  }
}

/** Resolves after `total` kills; `onKill` hears of each. */
export async function killAtRandom(
  stack: Stack,
  total: number,
  dice: Dice,
  onKill: (done: number) => void,
): Promise<Kills> {
  const counts: Record<Victim, number> = { gateway: 0, control: 0, worker: 0, postgres: 0 };
  for (let done = 0; done < total;) {
    // Sometimes at once, so that what is just starting dies as well.
    await Bun.sleep(dice.next() < 0.2 ? 5 : 50 + Math.floor(dice.next() * 500));
    const victim = victimOf(dice);
    const alive = pidsOf(stack, victim).filter((pid) => pid > 0);
    const pid = alive[Math.floor(dice.next() * alive.length)];
    if (pid === undefined || !kill(pid)) continue;
    counts[victim] += 1;
    done += 1;
    onKill(done);
  }
  return { counts };
}
