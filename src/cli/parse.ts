// Turns `noun verb --flag value arg` into a command and its input. Pure: no environment, no output.
// Invariant: an unknown word or flag is refused with the nearest known one; nothing is guessed.

import { nearest } from "./nearest.rules.ts";
import { usageFault, type ArgumentSpec, type Command, type FlagSpec, type Input } from "./types.ts";

/** Understood by every command. */
export const GLOBAL_FLAGS: readonly FlagSpec[] = [
  { name: "help", short: "h", summary: "show this help" },
  { name: "json", summary: "the same as --format json" },
  {
    name: "format",
    short: "o",
    value: "FORMAT",
    choices: ["table", "json", "csv"],
    summary: "how to print data",
  },
  { name: "data-dir", value: "FOLDER", summary: "where the data lies (default .intertie)" },
  { name: "control-url", value: "URL", summary: "the control API, when it is not on this machine" },
  { name: "no-color", summary: "no colours (as NO_COLOR=1)" },
];

export type Parsed =
  | { readonly kind: "command"; readonly command: Command; readonly input: Input }
  | {
      readonly kind: "help";
      readonly command: Command | undefined;
      readonly noun: string | undefined;
    };

interface Split {
  readonly words: string[];
  readonly values: Map<string, string[]>;
}

export function inputOf(
  args: readonly string[],
  values: ReadonlyMap<string, readonly string[]>,
): Input {
  return {
    args,
    text: (flag) => values.get(flag)?.at(-1),
    texts: (flag) => values.get(flag) ?? [],
    on: (flag) => values.has(flag),
  };
}

/** The longest run of leading words that names a command. */
function findCommand(commands: readonly Command[], words: readonly string[]): Command | undefined {
  for (const length of [2, 1]) {
    const wanted = words.slice(0, length).join(" ");
    const found =
      words.length >= length ? commands.find((command) => command.words === wanted) : undefined;
    if (found) return found;
  }
  return undefined;
}

function unknownCommand(commands: readonly Command[], words: readonly string[]): never {
  const [noun = "", verb] = words;
  const nouns = [...new Set(commands.map((command) => command.words.split(" ")[0] ?? ""))];
  const verbs = commands
    .filter((command) => command.words.startsWith(`${noun} `))
    .map((command) => command.words.slice(noun.length + 1));
  if (verbs.length > 0) {
    const near = verb === undefined ? undefined : nearest(verb, verbs);
    throw usageFault(
      verb === undefined ? `${noun}: which one?` : `${noun}: there is no "${verb}"`,
      near
        ? `did you mean \`intertie ${noun} ${near}\`?`
        : `known: ${verbs.map((known) => `${noun} ${known}`).join(", ")}`,
    );
  }
  const near = nearest(noun, nouns);
  throw usageFault(
    `there is no command "${noun}"`,
    near ? `did you mean \`intertie ${near}\`?` : "`intertie --help` lists them",
  );
}

function flagNamed(specs: readonly FlagSpec[], text: string): FlagSpec {
  const found = specs.find(
    (spec) => text === `--${spec.name}` || (spec.short !== undefined && text === `-${spec.short}`),
  );
  if (found) return found;
  const near = nearest(
    text.replace(/^-+/, ""),
    specs.map((spec) => spec.name),
  );
  throw usageFault(
    `there is no flag ${text}`,
    near ? `did you mean --${near}?` : `known: ${specs.map((spec) => `--${spec.name}`).join(", ")}`,
  );
}

function checkedValue(spec: FlagSpec, value: string | undefined): string {
  if (value === undefined || value === "")
    throw usageFault(`--${spec.name} needs a value: --${spec.name} ${spec.value ?? ""}`);
  if (spec.choices !== undefined && !spec.choices.includes(value)) {
    throw usageFault(`--${spec.name}: "${value}" is not one of ${spec.choices.join(", ")}`);
  }
  return value;
}

/** Flags may stand anywhere; `--` ends them; `--flag=value` and `--flag value` mean the same. */
function split(argv: readonly string[], specs: readonly FlagSpec[]): Split {
  const words: string[] = [];
  const values = new Map<string, string[]>();
  for (let index = 0; index < argv.length; index += 1) {
    const text = argv[index] ?? "";
    if (text === "--") {
      words.push(...argv.slice(index + 1));
      break;
    }
    if (!text.startsWith("-") || text === "-") {
      words.push(text);
      continue;
    }
    const equals = text.startsWith("--") ? text.indexOf("=") : -1;
    const spec = flagNamed(specs, equals < 0 ? text : text.slice(0, equals));
    if (spec.value === undefined && equals >= 0) throw usageFault(`--${spec.name} takes no value`);
    const given =
      spec.value === undefined
        ? ""
        : checkedValue(spec, equals < 0 ? argv[(index += 1)] : text.slice(equals + 1));
    const earlier = values.get(spec.name) ?? [];
    if (earlier.length > 0 && !spec.repeatable && spec.value !== undefined)
      throw usageFault(`--${spec.name} is given twice`);
    values.set(spec.name, [...earlier, given]);
  }
  return { words, values };
}

function checkArguments(command: Command, args: readonly string[]): void {
  const specs: readonly ArgumentSpec[] = command.args ?? [];
  const missing = specs.find((spec, index) => spec.required && args[index] === undefined);
  const tail = `see \`intertie ${command.words} --help\``;
  if (missing) throw usageFault(`${command.words}: ${missing.name} is missing`, tail);
  if (args.length > specs.length)
    throw usageFault(
      `${command.words}: "${args[specs.length] ?? ""}" is one argument too many`,
      tail,
    );
}

/** Flags of all commands are looked at only to find the command; then its own list alone counts. */
function leadingWords(commands: readonly Command[], argv: readonly string[]): string[] {
  const takesValue = new Set(
    [...GLOBAL_FLAGS, ...commands.flatMap((command) => command.flags ?? [])]
      .filter((spec) => spec.value !== undefined)
      .flatMap((spec) => [`--${spec.name}`, ...(spec.short ? [`-${spec.short}`] : [])]),
  );
  const words: string[] = [];
  for (let index = 0; index < argv.length && words.length < 2; index += 1) {
    const text = argv[index] ?? "";
    if (text === "--") break;
    if (!text.startsWith("-")) words.push(text);
    else if (takesValue.has(text)) index += 1;
  }
  return words;
}

export function parse(commands: readonly Command[], argv: readonly string[]): Parsed {
  const leading = leadingWords(commands, argv);
  const command = findCommand(commands, leading);
  const asksHelp = argv.includes("--help") || argv.includes("-h");
  if (command === undefined) {
    const noun = leading[0];
    if (noun === "help")
      return parse(commands, [...argv.filter((text) => text !== "help"), "--help"]);
    const known =
      noun !== undefined && commands.some((candidate) => candidate.words.startsWith(`${noun} `));
    if (noun === undefined || (asksHelp && known)) {
      split(argv, GLOBAL_FLAGS);
      return { kind: "help", command: undefined, noun };
    }
    return unknownCommand(commands, leading);
  }
  if (asksHelp) return { kind: "help", command, noun: undefined };
  const { words, values } = split(argv, [...GLOBAL_FLAGS, ...(command.flags ?? [])]);
  const args = words.slice(command.words.split(" ").length);
  checkArguments(command, args);
  return { kind: "command", command, input: inputOf(args, values) };
}
