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

export interface KillOptions {
  readonly total: number;
  readonly dice: Dice;
  /** How many answers callers have got so far. */
  readonly answered: () => number;
  readonly onKill: (done: number) => void;
}

const WORK_MAX_MS = 10_000;
const LOOK_MS = 5;

/** Mostly something is at work again before the next kill; sometimes it comes at once and hits what is just starting. */
async function awaitWork({ dice, answered }: KillOptions): Promise<void> {
  if (dice.next() < 0.2) return;
  const until = answered() + 1 + Math.floor(dice.next() * 12);
  const endMs = performance.now() + WORK_MAX_MS;
  while (answered() < until && performance.now() < endMs) await Bun.sleep(LOOK_MS);
  await Bun.sleep(Math.floor(dice.next() * 60));
}

/** Resolves after `total` kills. */
export async function killAtRandom(stack: Stack, options: KillOptions): Promise<Kills> {
  const { total, dice, onKill } = options;
  const counts: Record<Victim, number> = { gateway: 0, control: 0, worker: 0, postgres: 0 };
  for (let done = 0; done < total;) {
    await awaitWork(options);
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
