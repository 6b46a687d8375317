import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, openStack, prepareDataDir, runIntertie, type Stack } from "../stack.ts";
import { judgeAccounts } from "../torture/accounts.ts";
import type { Wish } from "../torture/upstream.ts";
import { freeze, logOf, pidOf, withDatabase } from "./processes.ts";
import { openWorld, type Outcome, type World } from "./world.ts";

/** One installation: backed up while it runs, stopped while streams are open, started again, and its backup beside it. */
const folder = mkdtempSync(join(tmpdir(), "intertie-restore-"));
const dataDir = join(folder, "data");
const backupFile = join(folder, "backup.tar.gz");
const settings = { INTERTIE_DRAIN_MAX_S: "4" };
const started = new Set<Stack>();
let world: World;
let token = "";
/** What callers had been given when the backup was taken. */
let backedUp: ReadonlyMap<string, Wish>;

beforeAll(async () => {
  await prepareDataDir(dataDir);
  world = await openWorld({ dataDir, gateways: 1, settings });
  started.add(world.stack);
  token = (await world.key({ name: "mine" })).token;
}, 90_000);

afterAll(async () => {
  await Promise.all([...started].map((stack) => stack.stop()));
  world.upstream.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const ask = (output: number) => world.ask(token, { input: 11, output });
const askAll = (outputs: readonly number[]) => Promise.all(outputs.map(ask));

const verdictOf = (stack: Stack, acknowledged: ReadonlyMap<string, Wish>) =>
  judgeAccounts(stack.state().databaseUrl ?? "", acknowledged, new Set(acknowledged.keys()));

/** Resolves once all of it is posted; then it is there once, and all sums agree. */
async function postedOnce(stack: Stack, acknowledged: ReadonlyMap<string, Wish>): Promise<number> {
  const judge = () => verdictOf(stack, acknowledged);
  const verdict = await eventually("all of it in the ledger", async () => {
    const now = await judge();
    return now.lost + now.unaccounted + now.flaws.length === 0 ? now : undefined;
  }).catch(judge);
  expect(verdict).toMatchObject({ lost: 0, unaccounted: 0, doubled: 0, flaws: [] });
  return verdict.facts;
}

interface Billed {
  readonly request_id: string;
  readonly status: string;
  readonly amount_pico: string;
  readonly quantities: readonly { meter: string; amount: string | number; source: string }[];
}

const billed = (stack: Stack) =>
  withDatabase(stack, async (client) => {
    const { rows } = await client.query<Billed>(
      "select request_id, status, amount_pico, quantities from facts order by request_id",
    );
    return rows;
  });

test("a backup is taken while control hangs: what is posted and what lies in the journals", async () => {
  await askAll([1, 2, 3]);
  await postedOnce(world.stack, world.acknowledged);
  const thaw = freeze([pidOf(world.stack, "control")]);
  try {
    await askAll([4, 5]);
    backedUp = new Map(world.acknowledged);
    expect((await verdictOf(world.stack, backedUp)).lost).toBe(2);
    const made = await world.stack.cli("backup", "--to", backupFile);
    expect([made.code, made.out]).toEqual([0, `${backupFile}\n`]);
  } finally {
    thaw();
  }
  expect(backedUp.size).toBe(5);
  copyFileSync(join(dataDir, "master.key"), join(folder, "kept.key"));
  await askAll([6]);
  await postedOnce(world.stack, world.acknowledged);
}, 60_000);

let ended: Outcome;
let cut: Outcome;

test("SIGTERM: open streams go on to their end, what is still open after the bound is cut with a word", async () => {
  const { stack, upstream } = world;
  const stream = { input: 11, stream: true, crowd: "drain" } as const;
  const ending = world.ask(token, { ...stream, output: 7, gate: "ends" });
  const endless = world.ask(token, { ...stream, output: 8, gate: "never" });
  await eventually("both streams", () => (upstream.open("drain") === 2 ? true : undefined));
  const pids = [stack.pid, ...stack.state().roles.map(({ pid }) => pid)];
  const stopping = stack.stop();
  await eventually("the gateway to hear of it", () =>
    logOf(stack, "gateway-0").find(({ event }) => event === "role.stopping"),
  );
  // Nobody new is let in.
  expect((await ask(1).catch(() => undefined))?.status ?? 503).toBe(503);
  upstream.openGate("ends");
  ended = await ending;
  expect(ended.status).toBe(200);
  expect(ended.text).toEndWith("data: [DONE]\n\n");
  expect(ended.text.split("word ")).toHaveLength(8);

  cut = await endless;
  expect(cut.text).not.toContain("[DONE]");
  expect(cut.text.trimEnd().split("\n").at(-1)).toContain('"error"');
  expect(await stopping).toBe(0);
  started.delete(stack);
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow();
  const journal = readdirSync(join(dataDir, "gateways", "0", "journal"));
  expect(journal.filter((name) => /segment|open/.test(name))).toEqual([]);
}, 60_000);

test("after the next start both streams are in the ledger; beside it the backup is restored: same key, same sums, journals shipped", async () => {
  const restoredDir = join(folder, "restored");
  const keyFile = join(folder, "kept.key");
  const from = ["--from", backupFile, "--key-file", keyFile, "--data-dir", restoredDir];
  const restored = await runIntertie(["restore", ...from, "--json"]);
  expect(restored).toMatchObject({ code: 0, err: "" });
  const [again, copy] = await Promise.all([
    openStack({ dataDir, gateways: 1 }),
    openStack({ dataDir: restoredDir, gateways: 1 }),
  ]);
  started.add(again).add(copy);

  expect([again.firstKey, copy.firstKey]).toEqual([undefined, undefined]);
  // The one that was cut is not acknowledged: it stands beside them with what was relayed of it.
  const acknowledged = new Map([...world.acknowledged].filter(([id]) => id !== cut.id));
  expect(acknowledged.has(ended.id)).toBe(true);
  expect(await postedOnce(again, acknowledged)).toBe(acknowledged.size + 1);
  const facts = await billed(again);
  const cutFact = facts.find(({ request_id }) => request_id === cut.id);
  expect(cutFact?.status).toBe("interrupted");
  expect(cutFact?.quantities).toContainEqual({
    meter: "output_tokens",
    amount: "1",
    source: "counted",
  });

  expect(await postedOnce(copy, backedUp)).toBe(backedUp.size);
  expect(await billed(copy)).toEqual(facts.filter(({ request_id }) => backedUp.has(request_id)));
  const before = new Map(world.acknowledged);
  expect((await world.ask(token, { input: 11, output: 9 }, copy.apiUrl)).status).toBe(200);
  const since = [...world.acknowledged].filter(([id]) => !before.has(id));
  expect(await postedOnce(copy, new Map([...backedUp, ...since]))).toBe(backedUp.size + 1);
}, 120_000);
