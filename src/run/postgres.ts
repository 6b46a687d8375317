// The database of `up`: the one that DATABASE_URL names, or the embedded server, kept alive while `up` runs.

import { startEmbedded } from "../db/embedded.ts";
import type { Log } from "../kit/log.ts";

export interface Postgres {
  readonly url: string;
  readonly embedded: boolean;
  stop(): Promise<void>;
}

export interface PostgresOptions {
  readonly url: string | undefined;
  readonly folder: string;
  readonly log: Log;
}

export async function openPostgres(options: PostgresOptions): Promise<Postgres> {
  if (options.url !== undefined) return { url: options.url, embedded: false, stop: async () => {} };
  const server = await startEmbedded({ folder: options.folder });
  options.log.info("postgres.ready", {
    pid: server.pid,
    port: server.port,
    attached: server.attached,
  });
  return { url: server.url, embedded: true, stop: server.stop };
}
