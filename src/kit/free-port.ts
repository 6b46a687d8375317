// Whether a port can be listened on, and one that can be, for whoever does not care which.
// Invariant: what is chosen lies below the ports that systems lend to outgoing connections (from 32768 on Linux, 49152 elsewhere), so
// that no connection of anybody's takes it between this look and the server's start, or while the server is started again.

import { createServer } from "node:net";

const FIRST = 20_000;
const COUNT = 12_000;
const TRIES_MAX = 100;

/** Binds and lets go again; rejects with the system's error. */
export function tryPort(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(port)));
  });
}

const isBusy = (error: unknown) =>
  error instanceof Error && "code" in error && error.code === "EADDRINUSE";

export async function freePort(host: string): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    try {
      return await tryPort(host, port);
    } catch (error) {
      if (!isBusy(error) || attempt === TRIES_MAX) throw error;
    }
  }
}
