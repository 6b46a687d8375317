// `intertie completion SHELL`: a script that completes nouns, verbs and flags, written from the command list itself.

import { GLOBAL_FLAGS } from "./parse.ts";
import { usageFault, type Command, type FlagSpec } from "./types.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

const flagsOf = (command: Command) =>
  [...(command.flags ?? []), ...GLOBAL_FLAGS].map((flag) => `--${flag.name}`);

function wordsAfter(commands: readonly Command[]): Map<string, string[]> {
  const next = new Map<string, string[]>([
    ["", [...new Set(commands.map((command) => command.words.split(" ")[0] ?? ""))]],
  ]);
  for (const command of commands) {
    const [noun = "", verb] = command.words.split(" ");
    if (verb !== undefined) next.set(noun, [...(next.get(noun) ?? []), verb]);
    next.set(command.words, flagsOf(command));
  }
  return next;
}

/** What a flag's value can be, where that is a closed list. */
function choicesOf(commands: readonly Command[]): Map<string, readonly string[]> {
  const flags = [...GLOBAL_FLAGS, ...commands.flatMap((command) => command.flags ?? [])];
  return new Map(flags.flatMap(({ name, choices }) => (choices ? [[`--${name}`, choices]] : [])));
}

function bashScript(commands: readonly Command[]): string {
  const words = (list: readonly string[]) =>
    `COMPREPLY=($(compgen -W "${list.join(" ")}" -- "$word"))`;
  const cases = [...wordsAfter(commands)].map(([path, next]) => `    "${path}") ${words(next)} ;;`);
  const values = [...choicesOf(commands)].map(
    ([flag, choices]) => `    ${flag}) ${words(choices)}; return ;;`,
  );
  return `# eval "$(intertie completion bash)"
_intertie() {
  local word="\${COMP_WORDS[COMP_CWORD]}" path="" index
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
${values.join("\n")}
  esac
  for ((index = 1; index < COMP_CWORD && index < 3; index++)); do
    [[ \${COMP_WORDS[index]} == -* ]] && break
    path="\${path:+$path }\${COMP_WORDS[index]}"
  done
  case "$path" in
${cases.join("\n")}
    *) case "\${path%% *}" in
${cases.map((line) => `  ${line}`).join("\n")}
    esac ;;
  esac
}
complete -o default -F _intertie intertie
`;
}

const quoted = (text: string) => `'${text.replaceAll("'", "\\'")}'`;

function fishFlag(flag: FlagSpec, where: string): string {
  const value = flag.value === undefined ? "" : " -r";
  const choices = flag.choices === undefined ? "" : ` -f -a ${quoted(flag.choices.join(" "))}`;
  return `complete -c intertie${where} -l ${flag.name}${value}${choices} -d ${quoted(flag.summary)}`;
}

function fishLines(command: Command): string[] {
  const [noun = "", verb] = command.words.split(" ");
  const seen = `__fish_seen_subcommand_from ${noun}`;
  const here = verb === undefined ? seen : `${seen}; and __fish_seen_subcommand_from ${verb}`;
  const word = `complete -c intertie -f -n ${quoted(seen)} -a ${verb ?? ""} -d ${quoted(command.summary)}`;
  return [
    ...(verb === undefined ? [] : [word]),
    ...(command.flags ?? []).map((flag) => fishFlag(flag, ` -n ${quoted(here)}`)),
  ];
}

function fishScript(commands: readonly Command[]): string {
  const nouns = [...new Set(commands.map((command) => command.words.split(" ")[0] ?? ""))];
  return [
    `# intertie completion fish | source`,
    `complete -c intertie -f -n __fish_use_subcommand -a ${quoted(nouns.join(" "))}`,
    ...GLOBAL_FLAGS.map((flag) => fishFlag(flag, "")),
    ...commands.flatMap(fishLines),
    "",
  ].join("\n");
}

function scriptFor(shell: string, commands: readonly Command[]): string {
  if (shell === "bash") return bashScript(commands);
  if (shell === "zsh")
    return `# eval "$(intertie completion zsh)"\n(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\nautoload -Uz +X bashcompinit && bashcompinit\n${bashScript(commands)}`;
  if (shell === "fish") return fishScript(commands);
  throw usageFault(`completion: "${shell}" is not one of ${SHELLS.join(", ")}`);
}

export function completionCommand(commands: () => readonly Command[]): Command {
  return {
    words: "completion",
    summary: "print a completion script for bash, zsh or fish",
    args: [{ name: "SHELL", required: true }],
    examples: ['eval "$(intertie completion bash)"', "intertie completion fish | source"],
    run: async ({ terminal }, input) => {
      terminal.out(scriptFor(input.args[0] ?? "", commands()));
      return 0;
    },
  };
}
