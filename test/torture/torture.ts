// One torture run: a whole stack under load, kills, a quiet end, and the accounts. Then the power losses.
// Invariant: the run ends by itself; every wait has a bound, and a bound passed is an error, never a pass.

import { seededDice } from "../../src/kit/clock.ts";
import { eventually, openStack, type Stack } from "../stack.ts";
import { isAllPosted, judgeAccounts, type Verdict } from "./accounts.ts";
import { openCallers } from "./callers.ts";
import { killAtRandom } from "./killer.ts";
import { losePower } from "./power.ts";
import { openTortureUpstream } from "./upstream.ts";

export interface TortureOptions {
  readonly kills: number;
  readonly losses: number;
  readonly seed: number;
  readonly say: (line: string) => void;
  readonly onKill: (done: number) => void;
}

export interface TortureResult {
  readonly name: "torture";
  readonly kills: number;
  readonly powerLosses: number;
  readonly acknowledged: number;
  readonly facts: number;
  readonly lost: number;
  readonly doubled: number;
  readonly unaccounted: number;
  readonly flaws: readonly string[];
}

const MODEL = "torture";
const CALLERS = 8;
/** Idle gateways seal within 250 ms, ship at once, and the worker posts every 200 ms; restarts take a while longer. */
const QUIET_MAX_MS = 60_000;

async function must(stack: Stack, path: string, body: unknown): Promise<unknown> {
  const answer = await stack.control("POST", path, body);
  if (answer.status >= 300) throw new Error(`POST ${path}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

async function prepare(stack: Stack, upstreamUrl: string): Promise<void> {
  const perMillion = { input_tokens: "1", output_tokens: "3" };
  await must(stack, "/upstreams", {
    name: "torture",
    baseUrl: upstreamUrl,
    models: { [MODEL]: MODEL },
    allowPrivateAddress: true,
  });
  await must(stack, "/prices", {
    model: MODEL,
    effectiveFrom: new Date(0).toISOString(),
    perMillion,
  });
  // A limit that is never reached: so each request also moves money between grants and the budget.
  const projects = await stack.control("GET", "/projects");
  const [project] = (projects.body as { items: { id: string }[] }).items;
  await stack.control("PATCH", `/projects/${project?.id ?? ""}`, { monthlySpendLimit: "1000000" });
}

async function untilServed(stack: Stack): Promise<void> {
  await eventually("the torture's model to be served", async () => {
    const models = await fetch(`${stack.apiUrl}/models/${MODEL}`, {
      headers: { authorization: `Bearer ${stack.firstKey ?? ""}` },
    }).catch(() => undefined);
    return models?.status === 200 ? true : undefined;
  });
}

/** Stops everything but the database's content: the gateways ship the rest when they are asked to end; then all is posted. */
async function settleDown(stack: Stack, judge: () => Promise<Verdict>): Promise<Verdict> {
  const databaseUrl = stack.state().databaseUrl ?? "";
  return eventually(
    "everything to be posted",
    async () => {
      if (!(await isAllPosted(databaseUrl).catch(() => false))) return undefined;
      const verdict = await judge().catch(() => undefined);
      return verdict && verdict.lost + verdict.unaccounted === 0 ? verdict : undefined;
    },
    QUIET_MAX_MS,
  ).catch(judge);
}

async function killStack(options: TortureOptions): Promise<Verdict & { acknowledged: number }> {
  const dice = seededDice(options.seed);
  const upstream = openTortureUpstream(dice.next);
  const stack = await openStack({ gateways: 2 });
  try {
    await prepare(stack, upstream.url);
    await untilServed(stack);
    const callers = openCallers({
      apiUrl: stack.apiUrl,
      key: stack.firstKey ?? "",
      model: MODEL,
      count: CALLERS,
      dice,
    });
    const { counts } = await killAtRandom(stack, {
      total: options.kills,
      dice,
      answered: () => callers.acknowledged.size,
      onKill: options.onKill,
    });
    options.say(`killed ${JSON.stringify(counts)}; asked ${callers.asked()}`);
    await callers.stop();
    const databaseUrl = stack.state().databaseUrl ?? "";
    const judge = () => judgeAccounts(databaseUrl, callers.acknowledged, upstream.arrived);
    return { ...(await settleDown(stack, judge)), acknowledged: callers.acknowledged.size };
  } finally {
    await stack.stop();
    await upstream.close();
  }
}

export async function torture(options: TortureOptions): Promise<TortureResult> {
  const killed = await killStack(options);
  options.say(`kills done: ${killed.acknowledged} acknowledged, ${killed.facts} facts`);
  const power = await losePower(options.losses, seededDice(options.seed + 1));
  options.say(`power losses done: ${power.acknowledged} acknowledged`);
  return {
    name: "torture",
    kills: options.kills,
    powerLosses: power.losses,
    acknowledged: killed.acknowledged + power.acknowledged,
    facts: killed.facts,
    lost: killed.lost + power.lost,
    doubled: killed.doubled + power.doubled,
    unaccounted: killed.unaccounted + power.unaccounted,
    flaws: killed.flaws,
  };
}
