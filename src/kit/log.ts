// Structured logs: one JSON object a line on stderr (or short text on a terminal).
// Invariant: callers pass only ids, counts and codes; prompts, answers and secrets never reach this file.

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Readonly<Record<string, string | number | boolean | bigint | undefined>>;

export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** A log whose every line also carries these fields. */
  child(fields: LogFields): Log;
}

const RANK: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 };

export interface LogOptions {
  readonly level: LogLevel;
  readonly role: string;
  readonly nowMs: () => number;
  readonly write: (line: string) => void;
}

export function openLog(options: LogOptions, bound: LogFields = {}): Log {
  const emit = (level: LogLevel, event: string, fields: LogFields = {}) => {
    if (RANK[level] < RANK[options.level]) return;
    const time = new Date(options.nowMs()).toISOString();
    const record = { time, level, role: options.role, event, ...bound, ...fields };
    options.write(
      `${JSON.stringify(record, (_, value: unknown) => (typeof value === "bigint" ? value.toString() : value))}\n`,
    );
  };
  return {
    debug: (event, fields) => emit("debug", event, fields),
    info: (event, fields) => emit("info", event, fields),
    warn: (event, fields) => emit("warn", event, fields),
    error: (event, fields) => emit("error", event, fields),
    child: (fields) => openLog(options, { ...bound, ...fields }),
  };
}

export const silentLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLog,
};

/** The message of anything thrown, for a log field. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
