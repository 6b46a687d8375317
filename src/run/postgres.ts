// The database of `up`: the one that DATABASE_URL names, or the embedded server, started again on its port when it ends unasked.

import { startEmbedded, type EmbeddedPostgres } from "../db/embedded.ts";
import { isAlive } from "../db/postgres-process.ts";
import { errorText, type Log } from "../kit/log.ts";
import { openLoop } from "../kit/loop.ts";

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

const LOOK_MS = 500;

export async function openPostgres(options: PostgresOptions): Promise<Postgres> {
  const { url, folder, log } = options;
  if (url !== undefined) return { url, embedded: false, stop: async () => {} };
  let server: EmbeddedPostgres = await startEmbedded({ folder });
  const { port } = server;
  log.info("postgres.ready", { pid: server.pid, port, attached: server.attached });
  const look = async () => {
    if (isAlive(server.pid)) return;
    log.error("postgres.ended", { pid: server.pid });
    server = await startEmbedded({ folder, port });
    log.info("postgres.restarted", { pid: server.pid, port });
  };
  const loop = openLoop(look, LOOK_MS, (error) =>
    log.error("postgres.restart_failed", { reason: errorText(error) }),
  );
  return {
    url: server.url,
    embedded: true,
    stop: async () => {
      await loop.close();
      await server.stop();
    },
  };
}
