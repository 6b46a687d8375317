// For tests: the engine on a free port over the model that ships, in a folder of its own.

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock, systemDice } from "../kit/clock.ts";
import { silentLog } from "../kit/log.ts";
import { INDEX_FILE, type IndexEntry } from "../models/artifacts/types.ts";
import { openEngine } from "./engine.ts";
import type { Engine, EngineOptions } from "./types.ts";

export const MODEL = "intertie-tiny";
export const BEARER = "test-bearer";
export const MODEL_FILE = join(import.meta.dir, "../../models", MODEL, `${MODEL}.gguf`);

export interface TestEngine extends Engine {
  readonly folder: string;
  readonly entry: IndexEntry;
  serve(models: Readonly<Record<string, IndexEntry>>): void;
  ask(path: string, body?: unknown, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

export async function openTestEngine(
  options: Partial<Pick<EngineOptions, "slots" | "waitingMax">> = {},
): Promise<TestEngine> {
  const folder = mkdtempSync(join(tmpdir(), "intertie-engine-"));
  const digest = createHash("sha256").update(readFileSync(MODEL_FILE)).digest("hex");
  const entry = { file: MODEL_FILE, digest, contextTokens: 512 };
  const serve = (models: Readonly<Record<string, IndexEntry>>) =>
    writeFileSync(join(folder, INDEX_FILE), JSON.stringify({ format: 1, models }));
  serve({ [MODEL]: entry });
  const engine = await openEngine({
    host: "127.0.0.1",
    port: 0,
    bearer: BEARER,
    artifactsDir: folder,
    log: silentLog,
    clock: systemClock,
    dice: systemDice,
    threads: 1,
    ...options,
  });
  return {
    ...engine,
    folder,
    entry,
    serve,
    ask: (path, body, init = {}) =>
      fetch(`${engine.url}${path}`, {
        ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
        ...init,
        headers: { authorization: `Bearer ${BEARER}`, ...init.headers },
      }),
    close: async () => {
      await engine.drain(0);
      rmSync(folder, { recursive: true });
    },
  };
}
