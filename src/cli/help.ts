// Help texts, built from the same data that the parser reads. Pure.

import { GLOBAL_FLAGS } from "./parse.ts";
import type { Command, FlagSpec } from "./types.ts";

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}   ${right}`).join("\n");
}

function flagRow(spec: FlagSpec): readonly [string, string] {
  const short = spec.short === undefined ? "" : `-${spec.short}, `;
  const value = spec.value === undefined ? "" : ` ${spec.value}`;
  const choices = spec.choices === undefined ? "" : ` (${spec.choices.join(", ")})`;
  return [`${short}--${spec.name}${value}`, `${spec.summary}${choices}`];
}

function usageLine(command: Command): string {
  const args = (command.args ?? [])
    .map((arg) => (arg.required ? ` ${arg.name}` : ` [${arg.name}]`))
    .join("");
  return `intertie ${command.words}${args}${command.flags?.length ? " [flags]" : ""}`;
}

export function commandHelp(command: Command): string {
  const parts = [
    command.summary,
    `Usage\n  ${usageLine(command)}`,
    ...(command.flags?.length ? [`Flags\n${columns(command.flags.map(flagRow))}`] : []),
    `Every command\n${columns(GLOBAL_FLAGS.map(flagRow))}`,
    `Examples\n${command.examples.map((line) => `  ${line}`).join("\n")}`,
  ];
  return `${parts.join("\n\n")}\n`;
}

/** The list of commands: all of them, or one noun's. */
export function overviewHelp(commands: readonly Command[], version: string, noun?: string): string {
  const shown =
    noun === undefined
      ? commands
      : commands.filter((command) => command.words.startsWith(`${noun} `));
  return [
    `Intertie ${version}: one gateway and one ledger over many zones of AI compute.`,
    "",
    "Usage\n  intertie COMMAND [arguments] [flags]",
    "",
    `Commands\n${columns(shown.map((command) => [command.words, command.summary] as const))}`,
    "",
    "`intertie COMMAND --help` shows flags and examples. Data goes to stdout, talk to stderr.",
    "Exit codes: 0 done · 1 failed · 2 wrong usage · 3 refused by a budget or policy · 4 no or wrong key · 130 interrupted",
    "",
  ].join("\n");
}
