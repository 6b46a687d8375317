// One supervised role: started as its own process, restarted with backoff when it ends unasked, stopped with a bound.
// Invariant: a child in its own session never sees the terminal's Ctrl-C; it stops when told, or when its supervisor's channel closes.

import { childEnvironment } from "../config.ts";
import type { Log } from "../kit/log.ts";
import type { LogFile } from "./log-file.ts";

export interface ChildOptions {
  readonly name: string;
  readonly command: readonly string[];
  readonly settings: Readonly<Record<string, string>>;
  readonly logFile: LogFile;
  readonly log: Log;
  /** Called with each new process id, 0 when there is none. */
  readonly onPid: (pid: number) => void;
}

export interface Child {
  readonly name: string;
  readonly pid: number;
  readonly restarts: number;
  /** Resolves when the role first says that it is ready; rejects when it ended before and could not be started again. */
  readonly ready: Promise<void>;
  /** SIGTERM, then SIGKILL after the bound. Resolves when the process is gone. */
  stop(boundMs: number): Promise<void>;
  kill(): void;
}

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 10_000;
/** So often may a role die before it was ready even once. */
const FIRST_STARTS_MAX = 3;

type Process = Bun.Subprocess<"ignore", "pipe", "pipe">;

class SupervisedChild implements Child {
  readonly name: string;
  readonly ready: Promise<void>;
  readonly #options: ChildOptions;
  readonly #settleReady: { resolve: () => void; reject: (error: Error) => void };
  #process: Process | undefined;
  #backoffMs = BACKOFF_FIRST_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stopping = false;
  #wasReady = false;
  #isUp = false;
  #starts = 0;

  constructor(options: ChildOptions) {
    this.name = options.name;
    this.#options = options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ready = promise;
    this.#settleReady = { resolve, reject };
    this.#start();
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get restarts(): number {
    return Math.max(0, this.#starts - 1);
  }

  #start(): void {
    const { command, settings, logFile } = this.#options;
    const startedMs = performance.now();
    this.#starts += 1;
    const process = Bun.spawn([...command], {
      env: childEnvironment(settings),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      detached: true,
      serialization: "json",
      ipc: (message) => {
        if (message === "ready") this.#isReady();
      },
    });
    this.#process = process;
    this.#options.onPid(process.pid);
    for (const stream of [process.stdout, process.stderr]) void copy(stream, logFile);
    void process.exited.then((code) =>
      this.#ended(code, process.signalCode, performance.now() - startedMs),
    );
  }

  /** A role that got this far starts again at once when it ends; only one that cannot start is made to wait longer each time. */
  #isReady(): void {
    this.#wasReady = true;
    this.#isUp = true;
    this.#settleReady.resolve();
  }

  #ended(code: number, signal: number | string | null, livedMs: number): void {
    this.#process = undefined;
    this.#options.onPid(0);
    if (this.#stopping) return;
    this.#options.log.error("role.ended", {
      name: this.name,
      code,
      signal: signal === null ? undefined : String(signal),
      livedMs: Math.round(livedMs),
    });
    if (!this.#wasReady && this.#starts >= FIRST_STARTS_MAX) {
      const lines = this.#options.logFile.tail().map((line) => `    ${line}`);
      this.#settleReady.reject(
        new Error(
          [`${this.name} does not start (see ${this.#options.logFile.path}):`, ...lines].join("\n"),
        ),
      );
      return;
    }
    if (this.#isUp) this.#backoffMs = BACKOFF_FIRST_MS;
    this.#isUp = false;
    this.#timer = setTimeout(() => this.#start(), this.#backoffMs);
    this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MAX_MS);
  }

  async stop(boundMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    this.#settleReady.reject(new Error(`${this.name} was stopped before it was ready`));
    const process = this.#process;
    if (process === undefined) return;
    process.kill("SIGTERM");
    const timer = setTimeout(() => {
      this.#options.log.warn("role.killed", { name: this.name, boundMs });
      process.kill("SIGKILL");
    }, boundMs);
    await process.exited;
    clearTimeout(timer);
  }

  kill(): void {
    this.#process?.kill("SIGKILL");
  }
}

async function copy(stream: ReadableStream<Uint8Array>, logFile: LogFile): Promise<void> {
  for await (const bytes of stream) logFile.write(bytes);
}

export function openChild(options: ChildOptions): Child {
  const child = new SupervisedChild(options);
  // Whoever waits for `ready` sees the rejection; nobody waiting is not an unhandled one.
  child.ready.catch(() => {});
  return child;
}
