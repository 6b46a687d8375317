// `intertie prices …`: effective-dated prices per million units. A price is never changed, only followed by a later one.

import { readFileSync } from "node:fs";
import type { Price } from "../../sdk/client.gen.ts";
import { PriceFile } from "../billing/prices/types.ts";
import { METERS } from "../billing/metering/types.ts";
import { printObject, printRows, type Column } from "./output.ts";
import { CliFault, EXIT, usageFault, type Command, type Input } from "./types.ts";

const COLUMNS: readonly Column<Price>[] = [
  { title: "model", read: (price) => price.model },
  { title: "from", read: (price) => price.effectiveFrom },
  { title: "input $/M", read: (price) => price.perMillion["input_tokens"], align: "right" },
  { title: "cached $/M", read: (price) => price.perMillion["cached_input_tokens"], align: "right" },
  { title: "output $/M", read: (price) => price.perMillion["output_tokens"], align: "right" },
  { title: "source", read: (price) => price.source },
];

const list: Command = {
  words: "prices list",
  summary: "list prices, newest first",
  flags: [{ name: "model", value: "NAME", summary: "of one model only" }],
  examples: ["intertie prices list --model gpt-4o-mini"],
  run: async (context, input) => {
    const control = await context.control();
    const answer = await control.listPrices({ model: input.text("model") });
    printRows(
      context.terminal,
      answer.items,
      COLUMNS,
      answer,
      "no prices yet: intertie prices import FILE",
    );
    return 0;
  },
};

function perMillionFrom(input: Input): Record<string, string> {
  const short = {
    input: "input_tokens",
    "cached-input": "cached_input_tokens",
    output: "output_tokens",
    reasoning: "reasoning_tokens",
  };
  const named = Object.entries(short).flatMap(([flag, meter]) => {
    const text = input.text(flag);
    return text === undefined ? [] : [[meter, text] as const];
  });
  const others = input.texts("meter").map((text) => {
    const [meter = "", price = ""] = text.split("=", 2);
    if (!METERS.some((known) => known === meter))
      throw usageFault(`--meter: "${meter}" is no meter`, `known: ${METERS.join(", ")}`);
    return [meter, price] as const;
  });
  if (named.length + others.length === 0)
    throw usageFault(
      "prices set: give at least --input and --output, in dollars per million tokens",
    );
  return Object.fromEntries([...named, ...others]);
}

const set: Command = {
  words: "prices set",
  summary: "give a model a price from now on, or from a date",
  args: [{ name: "MODEL", required: true }],
  flags: [
    { name: "input", value: "DOLLARS", summary: "per million input tokens, such as 2.50" },
    {
      name: "cached-input",
      value: "DOLLARS",
      summary: "per million cached input tokens (default: as input)",
    },
    { name: "output", value: "DOLLARS", summary: "per million output tokens" },
    {
      name: "reasoning",
      value: "DOLLARS",
      summary: "per million reasoning tokens (default: as output)",
    },
    {
      name: "meter",
      value: "METER=DOLLARS",
      repeatable: true,
      summary: "any other meter, per million",
    },
    { name: "from", value: "DATE", summary: "when it takes effect (default: now)" },
    { name: "source", value: "TEXT", summary: "where the price is written" },
  ],
  examples: [
    "intertie prices set llama --input 0.20 --output 0.60",
    "intertie prices set gpt-4o --input 2.50 --output 10 --from 2027-01-01",
  ],
  run: async (context, input) => {
    const from = input.text("from");
    const atMs = from === undefined ? Date.now() : Date.parse(from);
    if (Number.isNaN(atMs))
      throw usageFault(`--from: "${from ?? ""}" is no date such as 2027-01-31`);
    const control = await context.control();
    const price = await control.createPrice({
      model: input.args[0] ?? "",
      effectiveFrom: new Date(atMs).toISOString(),
      perMillion: perMillionFrom(input),
      source: input.text("source") ?? "",
    });
    printObject(
      context.terminal,
      [["model", price.model], ["from", price.effectiveFrom], ...Object.entries(price.perMillion)],
      price,
    );
    return 0;
  },
};

function fileAt(path: string): PriceFile {
  try {
    const parsed = PriceFile.safeParse(JSON.parse(readFileSync(path, "utf8")));
    if (parsed.success) return parsed.data;
    const issue = parsed.error.issues[0];
    throw new CliFault(EXIT.usage, "price.file", issue?.message ?? "not a price file", {
      field: `${path}: ${issue?.path.join(".") ?? ""}`,
    });
  } catch (error) {
    if (error instanceof CliFault) throw error;
    throw usageFault(
      `${path} cannot be read as a price file: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

const importFile: Command = {
  words: "prices import",
  summary: "take over a dated price file; what is known already stays as it is",
  args: [{ name: "FILE", required: true }],
  examples: ["intertie prices import prices/2026-11.json"],
  run: async (context, input) => {
    const file = fileAt(input.args[0] ?? "");
    const control = await context.control();
    const answer = await control.importPrices(file);
    printObject(
      context.terminal,
      [
        ["added", String(answer.added)],
        ["unchanged", String(answer.unchanged)],
      ],
      answer,
    );
    return 0;
  },
};

export const pricesCommands: readonly Command[] = [list, set, importFile];
