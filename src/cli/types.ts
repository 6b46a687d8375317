// The command line's vocabulary: commands are data (words, flags, examples, run), so that help, completion and parsing read one list.
// Invariants: stdout carries data only, stderr the talk; secrets come from stdin, a file or the environment, never from a flag.

import type { Client } from "../../sdk/client.gen.ts";

/** 3: a budget or a policy said no; 4: no or wrong credential; 130: interrupted, as shells say it. */
export const EXIT = { ok: 0, failed: 1, usage: 2, refused: 3, auth: 4, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface FlagSpec {
  readonly name: string;
  /** What the value is, in capitals (`FILE`); absent: the flag is a switch. */
  readonly value?: string;
  readonly short?: string;
  readonly summary: string;
  readonly repeatable?: boolean;
  /** For completion and for the error when another is given. */
  readonly choices?: readonly string[];
}

export interface ArgumentSpec {
  readonly name: string;
  readonly required: boolean;
}

export interface Input {
  readonly args: readonly string[];
  /** The last value given. */
  text(flag: string): string | undefined;
  texts(flag: string): readonly string[];
  on(flag: string): boolean;
}

export type OutputFormat = "table" | "json" | "csv";

export interface Terminal {
  readonly format: OutputFormat;
  readonly colour: boolean;
  /** Is stderr a person's terminal, so that a progress line may be redrawn? */
  readonly lively: boolean;
  out(text: string): void;
  say(text: string): void;
  stdin(): Promise<string>;
}

export interface Context {
  readonly terminal: Terminal;
  readonly dataDir: string;
  /** Throws a `CliFault` (auth) when no admin key can be found. */
  control(): Promise<Client>;
  readonly signal: AbortSignal;
}

export interface Command {
  /** `keys create`; one word where there is no noun (`doctor`). */
  readonly words: string;
  readonly summary: string;
  readonly args?: readonly ArgumentSpec[];
  readonly flags?: readonly FlagSpec[];
  readonly examples: readonly string[];
  readonly run: (context: Context, input: Input) => Promise<number>;
}

/** Something to tell the person at the keyboard: what happened, why, and what to do. */
export class CliFault extends Error {
  readonly exit: ExitCode;
  readonly code: string;
  readonly field: string | undefined;
  readonly hint: string | undefined;
  readonly requestId: string | undefined;

  constructor(
    exit: ExitCode,
    code: string,
    message: string,
    more: {
      readonly field?: string | undefined;
      readonly hint?: string | undefined;
      readonly requestId?: string | undefined;
    } = {},
  ) {
    super(message);
    this.name = "CliFault";
    this.exit = exit;
    this.code = code;
    this.field = more.field;
    this.hint = more.hint;
    this.requestId = more.requestId;
  }
}

export function usageFault(message: string, hint?: string): CliFault {
  return new CliFault(EXIT.usage, "usage", message, { hint });
}
