import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { openBrowser, openContext, watchErrors, watchStrangers } from "../console/browser.ts";
import { firstMinutes } from "../console/flows.ts";
import { eventually, openStack, runIntertie, type Stack } from "../stack.ts";

/** One stack for the whole story: first start, first answer, its price, trouble, stop, second start. */
const folder = mkdtempSync(join(tmpdir(), "intertie-first-minute-"));
const dataDir = join(folder, "data");
let stack: Stack;

beforeAll(async () => {
  stack = await openStack({ dataDir });
}, 90_000);

afterAll(async () => {
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const sh = (line: string) =>
  new Response(Bun.spawn(["sh", "-c", line], { stdout: "pipe" }).stdout).text();
const rolePid = (name: string) => stack.state().roles.find((role) => role.name === name)?.pid ?? 0;
const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

test("the greeting fits on a screen and names everything a stranger needs", () => {
  expect(stack.greeting.trimEnd().split("\n").length).toBeLessThanOrEqual(14);
  expect(stack.firstKey).toStartWith("it_live_");
  expect(stack.consoleLink).toStartWith(`${stack.controlUrl}/start?link=`);
  expect(stack.greeting).toContain(dataDir);
});

test("the curl line works as pasted", async () => {
  const line = stack.greeting.split("\n").find((each) => each.includes("curl -s")) ?? "";
  const answer: unknown = JSON.parse(await sh(line));
  expect(answer).toMatchObject({
    object: "chat.completion",
    choices: [{ message: { role: "assistant" } }],
    usage: { prompt_tokens: expect.any(Number) },
  });
});

test("the official SDK gets real answers, and each is in the ledger with its cost within seconds", async () => {
  const client = new OpenAI({ baseURL: stack.apiUrl, apiKey: stack.firstKey ?? "", maxRetries: 0 });
  const models = await client.models.list();
  const model = models.data[0]?.id ?? "";
  const messages = [{ role: "user" as const, content: "What is a lantern?" }];
  const whole = await client.chat.completions.create({ model, messages, max_tokens: 24 });
  expect(whole.choices[0]?.message.content?.length).toBeGreaterThan(0);

  let text = "";
  let chunks = 0;
  for await (const chunk of await client.chat.completions.create({
    model,
    messages,
    max_tokens: 24,
    stream: true,
  })) {
    text += chunk.choices[0]?.delta.content ?? "";
    chunks += 1;
    expect(chunk.usage ?? null).toBeNull();
  }
  expect(text.length).toBeGreaterThan(0);
  expect(chunks).toBeGreaterThan(2);

  const rows = await eventually("two priced requests in the ledger", async () => {
    const listed = await stack.cli("requests", "--json");
    if (listed.code !== 0) throw new Error(listed.err);
    const {
      items,
    }: { items: { status: string; amount: string; outputTokens: number; streamed: boolean }[] } =
      JSON.parse(listed.out);
    return items.length >= 3 && items.some((item) => item.streamed) ? items : undefined;
  });
  for (const row of rows) {
    expect(row.status).toBe("ok");
    expect(row.outputTokens).toBeGreaterThan(0);
    expect(Number(row.amount)).toBeGreaterThanOrEqual(0);
  }
  const usage = await stack.cli("usage", "--json");
  expect(JSON.parse(usage.out)).toMatchObject({ rows: [{ requests: rows.length }] });
});

test("the console: in by the one-time link, a key by keyboard, a chat, and its line in the ledger", async () => {
  const browser = await openBrowser();
  try {
    const context = await openContext(browser, { theme: "light", width: 1280 });
    const page = await context.newPage();
    const errors = watchErrors(page);
    const strangers = watchStrangers(context, stack.controlUrl);
    const { secret, answer } = await firstMinutes(page, stack.consoleLink, "from the console");
    expect(secret).toStartWith("it_live_");
    expect(answer.length).toBeGreaterThan(0);
    expect([errors, strangers]).toEqual([[], []]);
    const spent = await fetch(`${stack.controlUrl}/api/v1/sessions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ link: new URL(stack.consoleLink).searchParams.get("link") }),
    });
    expect(spent.status).toBe(410);
  } finally {
    await browser.close();
  }
});

test("a second start on the same data says so, and one on a busy port names port and flag", async () => {
  const second = await runIntertie(["up", "--data-dir", dataDir]);
  expect([second.code, second.out]).toEqual([1, ""]);
  expect(second.err).toContain("already runs on");
  const port = new URL(stack.apiUrl).port;
  const busy = await runIntertie(["up", "--data-dir", join(folder, "other"), "--port", port]);
  expect(busy.code).toBe(1);
  expect(busy.err).toContain(`port ${port}`);
  expect(busy.err).toContain("--port");
});

test("doctor finds nothing wrong while all runs", async () => {
  const { code, out } = await stack.cli("doctor");
  expect([code, out.includes("FAILED")]).toEqual([0, false]);
});

test("a revoked key is refused everywhere within 5 seconds", async () => {
  const { out } = await stack.cli("keys", "create", "--name", "short-lived", "--json");
  const { token, key }: { token: string; key: { id: string } } = JSON.parse(out);
  const models = () =>
    fetch(`${stack.apiUrl}/models`, {
      headers: { authorization: `Bearer ${token}`, connection: "close" },
    });
  await eventually("the new key to work", async () =>
    (await models()).status === 200 ? true : undefined,
  );
  expect((await stack.cli("keys", "revoke", key.id)).code).toBe(0);
  await eventually(
    "the key to be refused by both gateways",
    async () => {
      const answers = await Promise.all(Array.from({ length: 12 }, models));
      return answers.every((answer) => answer.status === 401) ? true : undefined;
    },
    5_000,
  );
});

test.each(["gateway-0", "control", "worker", "engine"])(
  "%s comes back after kill -9, and calls are answered again",
  async (name) => {
    const before = rolePid(name);
    process.kill(before, "SIGKILL");
    await eventually(`${name} to come back`, () => {
      const pid = rolePid(name);
      return pid !== 0 && pid !== before ? pid : undefined;
    });
    const client = new OpenAI({
      baseURL: stack.apiUrl,
      apiKey: stack.firstKey ?? "",
      maxRetries: 0,
    });
    const model =
      (
        await eventually(
          "the model list",
          async () => (await client.models.list().catch(() => undefined))?.data[0],
        )
      )?.id ?? "";
    await eventually("an answer", async () =>
      client.chat.completions
        .create({ model, messages: [{ role: "user", content: "Again?" }], max_tokens: 4 })
        .catch(() => undefined),
    );
  },
  40_000,
);

test("a backup is made while all runs, and holds the ledger", async () => {
  const file = join(folder, "backup.tar.gz");
  const { code, out, err } = await stack.cli("backup", "--to", file, "--json");
  expect(code).toBe(0);
  expect(JSON.parse(out)).toMatchObject({ file, tables: expect.any(Number) });
  expect(err).toContain("master key is NOT in it");
});

test("SIGTERM leaves no process behind; the next start keeps key and ledger, and shows no key", async () => {
  const pids = [stack.pid, ...stack.state().roles.map((role) => role.pid)];
  expect(await stack.stop()).toBe(0);
  expect(pids.filter(isAlive)).toEqual([]);
  const { firstKey } = stack;
  stack = await openStack({ dataDir });
  expect(stack.firstKey).toBeUndefined();
  const models = await fetch(`${stack.apiUrl}/models`, {
    headers: { authorization: `Bearer ${firstKey ?? ""}` },
  });
  expect(models.status).toBe(200);
  const { out } = await stack.cli("requests", "--json");
  expect(JSON.parse(out).items.length).toBeGreaterThanOrEqual(3);
}, 90_000);
