// Ports, looked at before anything starts: a busy one is named together with the flag that moves it.

import { freePort, tryPort } from "../kit/free-port.ts";

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

function reasonOf(wish: PortWish, error: unknown): unknown {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE") return new PortBusy(wish);
  if (code === "EACCES")
    return new Error(
      `port ${wish.port} needs more rights than this user has: choose one above 1023 with ${wish.flag} PORT`,
    );
  if (code === "EADDRNOTAVAIL")
    return new Error(`${wish.host} is no address of this machine: choose another with --host`);
  return error;
}

/** Binds and lets go again; resolves with the port, for 0 with one that is free. */
export async function probePort(wish: PortWish): Promise<number> {
  const { host, port } = wish;
  try {
    return await (port === 0 ? freePort(host) : tryPort(host, port));
  } catch (error) {
    throw reasonOf(wish, error);
  }
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
