// `intertie completion SHELL`: a script that completes nouns, verbs and flags, written from the command list itself.

import { GLOBAL_FLAGS } from "./parse.ts";
import { usageFault, type Command } from "./types.ts";

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

function bashScript(commands: readonly Command[]): string {
  const cases = [...wordsAfter(commands)].map(
    ([words, next]) =>
      `    "${words}") COMPREPLY=($(compgen -W "${next.join(" ")}" -- "$word")) ;;`,
  );
  return `# eval "$(intertie completion bash)"
_intertie() {
  local word="\${COMP_WORDS[COMP_CWORD]}" path="" index
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

function fishScript(commands: readonly Command[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "\\'")}'`;
  const nouns = [...new Set(commands.map((command) => command.words.split(" ")[0] ?? ""))];
  const lines = commands.flatMap((command) => {
    const [noun = "", verb] = command.words.split(" ");
    const here =
      verb === undefined
        ? `__fish_seen_subcommand_from ${noun}`
        : `__fish_seen_subcommand_from ${noun}; and __fish_seen_subcommand_from ${verb}`;
    const word =
      verb === undefined
        ? []
        : [
            `complete -c intertie -f -n ${quoted(`__fish_seen_subcommand_from ${noun}`)} -a ${verb} -d ${quoted(command.summary)}`,
          ];
    return [
      ...word,
      ...(command.flags ?? []).map(
        (flag) =>
          `complete -c intertie -n ${quoted(here)} -l ${flag.name}${flag.value === undefined ? "" : " -r"} -d ${quoted(flag.summary)}`,
      ),
    ];
  });
  return [
    `# intertie completion fish | source`,
    `complete -c intertie -f -n __fish_use_subcommand -a ${quoted(nouns.join(" "))}`,
    ...lines,
    "",
  ].join("\n");
}

function scriptFor(shell: string, commands: readonly Command[]): string {
  if (shell === "bash") return bashScript(commands);
  if (shell === "zsh")
    return `# eval "$(intertie completion zsh)"\nautoload -U +X bashcompinit && bashcompinit\n${bashScript(commands)}`;
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
