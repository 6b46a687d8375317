// Ports, looked at before anything starts: a busy one is named together with the flag that moves it.

import { createServer } from "node:net";

export interface PortWish {
  readonly flag: string;
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

export class PortBusy extends Error {
  readonly wish: PortWish;

  constructor(wish: PortWish) {
    super(
      `port ${wish.port} on ${wish.host} is in use by another program: stop that, or choose another port with ${wish.flag} PORT`,
    );
    this.name = "PortBusy";
    this.wish = wish;
  }
}

/** Binds and lets go again; resolves with the port, which for 0 is the one that the system chose. */
export function probePort(wish: PortWish): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") reject(new PortBusy(wish));
      else if (error.code === "EACCES")
        reject(
          new Error(
            `port ${wish.port} needs more rights than this user has: choose one above 1023 with ${wish.flag} PORT`,
          ),
        );
      else if (error.code === "EADDRNOTAVAIL")
        reject(new Error(`${wish.host} is no address of this machine: choose another with --host`));
      else reject(error);
    });
    server.listen({ host: wish.host, port: wish.port, exclusive: true }, () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : wish.port;
      server.close(() => resolve(port));
    });
  });
}

/** All of them in order, or the first that is busy; no port is given twice. */
export async function probePorts(wishes: readonly PortWish[]): Promise<number[]> {
  const ports: number[] = [];
  for (const wish of wishes) {
    let port = await probePort(wish);
    for (let attempt = 0; wish.port === 0 && ports.includes(port) && attempt < 20; attempt += 1)
      port = await probePort(wish);
    if (ports.includes(port)) throw new Error(`${wish.flag}: port ${port} is wanted twice`);
    ports.push(port);
  }
  return ports;
}
