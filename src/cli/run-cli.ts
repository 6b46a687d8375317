// Runs one command line: parse, run, and turn whatever went wrong into one clear message and an exit code.

import { createClient, type Client } from "../../sdk/client.gen.ts";
import { Failure } from "../../sdk/transport.ts";
import { nearTls } from "../kit/loopback.ts";
import { commandHelp, overviewHelp } from "./help.ts";
import { parse } from "./parse.ts";
import {
  CliFault,
  EXIT,
  type Command,
  type ExitCode,
  type Input,
  type OutputFormat,
  type Terminal,
} from "./types.ts";

export interface CliOptions {
  readonly commands: readonly Command[];
  readonly version: string;
  readonly out: (text: string) => void;
  readonly say: (text: string) => void;
  readonly stdin: () => Promise<string>;
  readonly colour: boolean;
  readonly lively: boolean;
  readonly signal: AbortSignal;
  /** Where control is and with which key, for a data folder; throws a CliFault when no key is to be had. */
  readonly reach: (choice: {
    readonly dataDir: string | undefined;
    readonly controlUrl: string | undefined;
  }) => {
    readonly url: string;
    readonly adminKey: string;
  };
  readonly dataDir: (given: string | undefined) => string;
}

function formatOf(input: Input): OutputFormat {
  const asked = input.text("format");
  if (input.on("json")) return "json";
  return asked === "json" || asked === "csv" ? asked : "table";
}

function terminalOf(options: CliOptions, input: Input): Terminal {
  return {
    format: formatOf(input),
    colour: options.colour && !input.on("no-color"),
    lively: options.lively,
    out: (text) => options.out(text.endsWith("\n") ? text : `${text}\n`),
    say: (text) => options.say(text.endsWith("\n") ? text : `${text}\n`),
    stdin: options.stdin,
  };
}

/** What happened, where, and what to do about it; as JSON for programs. */
function report(options: CliOptions, fault: CliFault, json: boolean): void {
  const { code, message, field, hint, requestId } = fault;
  if (json)
    return options.say(`${JSON.stringify({ error: { code, message, field, hint, requestId } })}\n`);
  const lines = [
    // Many messages begin with their field, since programs and people without this line read them as well.
    `intertie: ${field === undefined || message.startsWith(field) ? "" : `${field}: `}${message}`,
    ...(hint === undefined ? [] : [`  ${hint}`]),
    ...(requestId === undefined ? [] : [`  request ${requestId}, code ${code}`]),
  ];
  options.say(`${lines.join("\n")}\n`);
}

function exitFor(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.auth;
  return status === 402 ? EXIT.refused : EXIT.failed;
}

function faultOf(error: unknown, signal: AbortSignal): CliFault {
  if (error instanceof CliFault) return error;
  if (error instanceof Failure)
    return new CliFault(exitFor(error.status), error.code, error.message, error);
  if (signal.aborted) return new CliFault(EXIT.interrupted, "interrupted", "interrupted");
  const hint =
    error instanceof Error && "hint" in error && typeof error.hint === "string"
      ? error.hint
      : undefined;
  return new CliFault(
    EXIT.failed,
    "failed",
    error instanceof Error ? error.message : String(error),
    { hint },
  );
}

const send = (url: string, init: RequestInit): Promise<Response> =>
  fetch(url, { ...init, ...nearTls(url) });

async function runCommand(options: CliOptions, command: Command, input: Input): Promise<number> {
  let client: Client | undefined;
  const dataDir = input.text("data-dir");
  return command.run(
    {
      terminal: terminalOf(options, input),
      dataDir: options.dataDir(dataDir),
      signal: options.signal,
      control: async () => {
        client ??= createClient({
          ...options.reach({ dataDir, controlUrl: input.text("control-url") }),
          signal: options.signal,
          fetch: send,
        });
        return client;
      },
    },
    input,
  );
}

/** Resolves with the exit code; never rejects. */
export async function runCli(options: CliOptions, argv: readonly string[]): Promise<number> {
  try {
    const parsed = parse(options.commands, argv);
    if (parsed.kind === "command") return await runCommand(options, parsed.command, parsed.input);
    options.out(
      parsed.command
        ? commandHelp(parsed.command)
        : overviewHelp(options.commands, options.version, parsed.noun),
    );
    return EXIT.ok;
  } catch (error) {
    const fault = faultOf(error, options.signal);
    report(options, fault, /(^| )(--json|(--format[ =]|-o )json)( |$)/.test(argv.join(" ")));
    return fault.exit;
  }
}
