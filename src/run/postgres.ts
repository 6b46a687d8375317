// The database of `up`: the one that DATABASE_URL names, or the embedded server, started again on its port when it ends unasked.

import { startEmbedded, type EmbeddedPostgres } from "../db/embedded.ts";
import { isAlive } from "../db/postgres-process.ts";
import { errorText, type Log } from "../kit/log.ts";

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
  let looking: Promise<void> = Promise.resolve();
  const look = async () => {
    if (isAlive(server.pid)) return;
    log.error("postgres.ended", { pid: server.pid });
    server = await startEmbedded({ folder, port });
    log.info("postgres.restarted", { pid: server.pid, port });
  };
  const timer = setInterval(() => {
    looking = looking
      .then(look)
      .catch((error: unknown) =>
        log.error("postgres.restart_failed", { reason: errorText(error) }),
      );
  }, LOOK_MS);
  return {
    url: server.url,
    embedded: true,
    stop: async () => {
      clearInterval(timer);
      await looking;
      await server.stop();
    },
  };
}
