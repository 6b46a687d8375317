// `intertie upstreams …`: the OpenAI-compatible places that answer, and whether they do.
// Invariant: an upstream's API key comes from stdin or a file, never from a flag (process lists and shell histories keep flags).

import { readFileSync } from "node:fs";
import type { Upstream } from "../../sdk/client.gen.ts";
import { printObject, printRows, type Column } from "./output.ts";
import { EXIT, usageFault, type Command, type Context, type Input } from "./types.ts";

const COLUMNS: readonly Column<Upstream>[] = [
  { title: "name", read: (upstream) => upstream.name },
  { title: "kind", read: (upstream) => upstream.kind },
  { title: "address", read: (upstream) => upstream.baseUrl },
  { title: "models", read: (upstream) => upstream.models.length, align: "right" },
  { title: "state", read: (upstream) => (upstream.enabled ? upstream.state : "switched off") },
  { title: "id", read: (upstream) => upstream.id },
];

/** `public=theirs`, or one name where both are the same. */
function modelsFrom(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [name = "", theirs = name] = text.split("=", 2);
      if (name === "" || theirs === "")
        throw usageFault(`--model: "${text}" is neither NAME nor NAME=THEIR_NAME`);
      return [name, theirs] as const;
    }),
  );
}

async function apiKeyFrom(context: Context, input: Input): Promise<string | undefined> {
  const file = input.text("api-key-file");
  if (file !== undefined && input.on("api-key-stdin"))
    throw usageFault("--api-key-file and --api-key-stdin: give one of them");
  if (file !== undefined) return readFileSync(file, "utf8").trim();
  return input.on("api-key-stdin") ? (await context.terminal.stdin()).trim() : undefined;
}

/** By id or by name. */
async function find(context: Context, wanted: string): Promise<Upstream> {
  const control = await context.control();
  const { items } = await control.listUpstreams();
  const found = items.find((upstream) => upstream.id === wanted || upstream.name === wanted);
  if (!found)
    throw usageFault(
      `there is no upstream "${wanted}"`,
      `known: ${items.map((upstream) => upstream.name).join(", ")}`,
    );
  return found;
}

const add: Command = {
  words: "upstreams add",
  summary: "add an OpenAI-compatible upstream (OpenAI, vLLM, SGLang, Ollama, llama.cpp …)",
  args: [
    { name: "NAME", required: true },
    { name: "BASE_URL", required: true },
  ],
  flags: [
    { name: "api-key-stdin", summary: "read its API key from standard input" },
    { name: "api-key-file", value: "FILE", summary: "read its API key from a file" },
    {
      name: "model",
      value: "NAME[=THEIRS]",
      repeatable: true,
      summary: "a model it serves (default: ask it)",
    },
    { name: "zone", value: "ZONE", summary: "the zone it stands in (default external)" },
    { name: "allow-private-address", summary: "it is on this machine or in a private network" },
  ],
  examples: [
    "intertie upstreams add openai https://api.openai.com/v1 --api-key-stdin < key.txt",
    "intertie upstreams add vllm http://10.0.0.5:8000/v1 --allow-private-address --model llama=meta-llama/Llama-3.3-70B-Instruct",
  ],
  run: async (context, input) => {
    const apiKey = await apiKeyFrom(context, input);
    const control = await context.control();
    const added = await control.createUpstream({
      name: input.args[0] ?? "",
      baseUrl: input.args[1] ?? "",
      apiKey,
      zone: input.text("zone"),
      models: modelsFrom(input.texts("model")),
      allowPrivateAddress: input.on("allow-private-address"),
    });
    printObject(
      context.terminal,
      [
        ["id", added.id],
        ["name", added.name],
        ["address", added.baseUrl],
      ],
      added,
    );
    context.terminal.say(
      "callers reach its models once each has a price: intertie prices set MODEL --input … --output …",
    );
    return 0;
  },
};

const list: Command = {
  words: "upstreams list",
  summary: "list upstreams",
  examples: ["intertie upstreams list"],
  run: async (context) => {
    const control = await context.control();
    const answer = await control.listUpstreams();
    printRows(
      context.terminal,
      answer.items,
      COLUMNS,
      answer,
      "no upstreams yet: intertie upstreams add --help",
    );
    return 0;
  },
};

const test: Command = {
  words: "upstreams test",
  summary: "ask an upstream whether it answers and what it serves",
  args: [{ name: "NAME", required: true }],
  examples: ["intertie upstreams test openai"],
  run: async (context, input) => {
    const upstream = await find(context, input.args[0] ?? "");
    const control = await context.control();
    const probe = await control.testUpstream(upstream.id);
    const pairs = [
      ["upstream", upstream.name],
      ["answers", probe.ok ? "yes" : "no"],
      ["latency", `${probe.latencyMs} ms`],
      ["detail", probe.detail],
      ["models", String(probe.models.length)],
    ] as const;
    printObject(context.terminal, pairs, probe);
    return probe.ok ? EXIT.ok : EXIT.failed;
  },
};

const remove: Command = {
  words: "upstreams remove",
  summary: "remove an upstream; requests under way finish",
  args: [{ name: "NAME", required: true }],
  examples: ["intertie upstreams remove openai"],
  run: async (context, input) => {
    const upstream = await find(context, input.args[0] ?? "");
    const control = await context.control();
    await control.removeUpstream(upstream.id);
    if (context.terminal.format === "json")
      context.terminal.out(JSON.stringify({ id: upstream.id, removed: true }));
    else context.terminal.say(`removed ${upstream.name}`);
    return 0;
  },
};

export const upstreamsCommands: readonly Command[] = [add, list, test, remove];
