import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { JsonSchema, OpenApi, Operation } from "../http/openapi.ts";
import { completionCommand } from "./completion.command.ts";
import { doctorCommand } from "./doctor.command.ts";
import { keysCommands } from "./keys.commands.ts";
import {
  backupCommand,
  restoreCommand,
  runRoleCommand,
  upCommand,
  versionCommand,
} from "./local.commands.ts";
import { modelsCommands } from "./models.commands.ts";
import { GLOBAL_FLAGS, parse } from "./parse.ts";
import { pricesCommands } from "./prices.commands.ts";
import { projectsCommands } from "./projects.commands.ts";
import { runCli } from "./run-cli.ts";
import type { Command } from "./types.ts";
import { upstreamsCommands } from "./upstreams.commands.ts";
import { usageCommands } from "./usage.commands.ts";
import { readConfig } from "../config.ts";

const ROOT = join(import.meta.dir, "..", "..");
const document: OpenApi = JSON.parse(
  readFileSync(join(ROOT, "docs", "api", "openapi.json"), "utf8"),
);

/** The smallest value that a schema allows; a state is the last one it can be in before `failed`. */
function sampleOf(schema: JsonSchema | boolean | undefined): unknown {
  if (typeof schema !== "object") return null;
  if (schema.$ref !== undefined)
    return sampleOf(document.components.schemas[schema.$ref.split("/").at(-1) ?? ""]);
  if (schema.enum) return schema.enum.find((value) => value === "done") ?? schema.enum[0];
  const either = schema.anyOf?.[0];
  if (either) return sampleOf(either);
  const type = Array.isArray(schema.type) ? schema.type.at(-1) : schema.type;
  if (type === "array") return [sampleOf(Array.isArray(schema.items) ? undefined : schema.items)];
  if (type === "object")
    return Object.fromEntries(
      (schema.required ?? []).map((name) => [name, sampleOf(schema.properties?.[name])]),
    );
  if (type === "string") return schema.format === "date-time" ? "2027-01-01T00:00:00Z" : "x";
  if (type === "boolean") return true;
  return type === "null" ? null : 1;
}

/** Control as its document describes it. */
function answer(request: Request): Response {
  const path = new URL(request.url).pathname;
  const found = Object.entries(document.paths).find(([pattern]) =>
    new RegExp(`^${pattern.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(path),
  );
  const operation: Operation | undefined = found?.[1][request.method.toLowerCase()];
  if (!operation) return Response.json({ error: { code: "route.not_found" } }, { status: 404 });
  const [status = "", { content } = {}] =
    Object.entries(operation.responses).find(([code]) => code < "300") ?? [];
  if (status === "204") return new Response(null, { status: 204 });
  return Response.json(sampleOf(content?.["application/json"]?.schema), { status: Number(status) });
}

let control: ReturnType<typeof Bun.serve>;
beforeAll(() => void (control = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer })));
afterAll(() => control.stop(true));

const COMMANDS: readonly Command[] = [
  upCommand(async (_, json) => (json ? 0 : 1)),
  ...keysCommands,
  ...projectsCommands,
  ...upstreamsCommands,
  ...pricesCommands,
  ...modelsCommands,
  ...usageCommands,
  backupCommand(async ({ file }) => ({ file })),
  restoreCommand(async ({ file }) => ({ file })),
  doctorCommand({
    config: (dataDir) => readConfig({ INTERTIE_DATA_DIR: dataDir }),
    root: ROOT,
    bunVersion: { running: Bun.version, pinned: Bun.version },
    probeDatabase: () => Promise.reject(new Error("no database")),
  }),
  runRoleCommand(async () => 0),
  completionCommand(() => COMMANDS),
  versionCommand("1.2.3", "bun"),
];

/** What the product promises to have, and the arguments that a plain call needs. */
const PROMISED: Readonly<Record<string, readonly string[]>> = {
  "keys create": ["--name", "me", "--project", "x", "--expires", "90d"],
  "keys list": [],
  "keys revoke": ["x"],
  "projects list": [],
  "projects create": ["x", "--monthly-spend-limit", "250"],
  "projects change": ["x", "--monthly-spend-limit", "none"],
  "upstreams add": ["x", "http://127.0.0.1:1/v1", "--allow-private-address"],
  "upstreams list": [],
  "upstreams test": ["x"],
  "upstreams remove": ["x"],
  "prices import": [join(ROOT, "prices", "2026-11.json")],
  "prices set": ["x", "--input", "1", "--output", "2"],
  "prices list": ["--model", "x"],
  "models list": [],
  "models pull": ["x"],
  usage: ["--by", "day"],
  requests: ["--limit", "5", "--status", "failures"],
  backup: ["--to", "x.tar.gz"],
  restore: ["--from", "x.tar.gz"],
  version: [],
};
const ELSEWHERE = ["up", "doctor", "run", "completion"];

async function type(line: readonly string[]) {
  const said = { code: -1, out: "", say: "" };
  said.code = await runCli(
    {
      commands: COMMANDS,
      version: "1.2.3",
      out: (text) => void (said.out += text),
      say: (text) => void (said.say += text),
      stdin: async () => "",
      colour: false,
      lively: false,
      signal: new AbortController().signal,
      dataDir: (given) => given ?? join(ROOT, ".none"),
      reach: () => ({ url: control.url.origin, adminKey: "it_admin_x" }),
    },
    line,
  );
  return said;
}

/** The command line inside a line of shell. */
function kindOf(shell: string): string {
  const line = /intertie ([^|<>)"#]+)/.exec(shell)?.[1] ?? "";
  return parse(COMMANDS, line.trim().split(/\s+/)).kind;
}

test("every promised command is there, and every command is promised or checked elsewhere", () => {
  const words = COMMANDS.map((command) => command.words).sort();
  expect(words).toEqual([...Object.keys(PROMISED), ...ELSEWHERE].sort());
});

test("the program's own list is this one", async () => {
  const child = Bun.spawn([process.execPath, join(ROOT, "src", "main.ts"), "--help"], {
    stdout: "pipe",
  });
  const help = await new Response(child.stdout).text();
  for (const command of COMMANDS) expect(help).toContain(`${command.words} `);
  expect(help.match(/^ {2}[a-z]+( [a-z]+)? {3,}/gm)?.length).toBe(COMMANDS.length);
});

test.each(Object.entries(PROMISED))(
  "%s --json prints one JSON value and nothing else on stdout",
  async (words, args) => {
    const said = await type([...words.split(" "), ...args, "--json"]);
    expect([said.code, said.out === "" ? said.say : ""]).toEqual([0, ""]);
    expect(typeof JSON.parse(said.out)).toBe("object");
    expect(said.out.trimEnd().split("\n")).toHaveLength(1);
  },
);

test.each(Object.entries(PROMISED))("%s says something to people, too", async (words, args) => {
  const said = await type([...words.split(" "), ...args]);
  expect(said.code).toBe(0);
  expect((said.out + said.say).trim()).not.toBe("");
  expect(said.out).not.toContain("undefined");
  expect(said.out).not.toContain("[object");
});

test("doctor --json says of each check what it found", async () => {
  const said = await type(["doctor", "--json"]);
  const { findings }: { findings: { check: string; state: string }[] } = JSON.parse(said.out);
  expect(findings.length).toBeGreaterThan(10);
});

test.each(COMMANDS.map((command) => [command.words, command] as const))(
  "%s has help, examples that it understands, and completions",
  async (words, command) => {
    const help = await type([...words.split(" "), "--help"]);
    expect([help.code, help.say]).toEqual([0, ""]);
    expect(help.out).toContain(command.summary);
    expect(command.examples.length).toBeGreaterThan(0);
    for (const example of command.examples) {
      expect(help.out).toContain(example);
      expect(kindOf(example)).toBe("command");
    }
    const scripts = await Promise.all(
      ["bash", "zsh", "fish"].map((shell) => type(["completion", shell])),
    );
    for (const { out } of scripts)
      for (const flag of command.flags ?? []) expect(out).toContain(flag.name);
  },
);

test("what docs/cli.md shows can be typed", () => {
  const text = readFileSync(join(ROOT, "docs", "cli.md"), "utf8");
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].flatMap((match) =>
    (match[1] ?? "").split("\n"),
  );
  const lines = blocks.filter((line) => line.includes("intertie "));
  expect(lines.length).toBeGreaterThan(20);
  for (const line of lines) expect([line, kindOf(line)]).toEqual([line, "command"]);
});

async function complete(...words: readonly string[]): Promise<readonly string[]> {
  const { out } = await type(["completion", "bash"]);
  const script = `${out}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _intertie; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const child = Bun.spawn(["bash", "-c", script], { stdout: "pipe" });
  return (await new Response(child.stdout).text()).trim().split("\n");
}

test("bash completes nouns, verbs, flags and their values", async () => {
  expect(await complete("intertie", "ke")).toEqual(["keys"]);
  expect(await complete("intertie", "projects", "")).toEqual(["list", "create", "change"]);
  expect(await complete("intertie", "keys", "create", "--exp")).toEqual(["--expires"]);
  expect(await complete("intertie", "keys", "create", "--kind", "")).toEqual([
    "live",
    "test",
    "admin",
  ]);
  expect(await complete("intertie", "doctor", "--js")).toEqual(["--json"]);
});

test("no flag is one that every command has already, no secret is a flag", () => {
  for (const { words, flags = [] } of COMMANDS)
    for (const { name } of flags) {
      expect([words, GLOBAL_FLAGS.some((flag) => flag.name === name)]).toEqual([words, false]);
      expect(name).not.toMatch(/^(api-key|admin-key|password|secret)$/);
    }
});
