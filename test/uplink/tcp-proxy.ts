// A wire between a gateway and control that a test can cut: answers that are lost, streams that break in the middle of a line.

import { connect, createServer, type Socket } from "node:net";

/** What happens to an answer: nothing, it is lost, or it ends 20 bytes after the word `manifest`. */
export type Harm = "none" | "lose" | "half";

export interface TcpProxy {
  readonly url: string;
  /** How many requests of each kind went up, e.g. `POST /uplink/v1/segments`. */
  readonly asked: Map<string, number>;
  /** From here on nothing passes, in either direction. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

const REQUEST = /^(GET|POST) (\/[^ ]*) HTTP/;

/** `judge`: asked once an answer, with its request's method and path, and how often that was asked before. */
export async function openTcpProxy(
  port: number,
  judge: (request: string, before: number) => Harm,
): Promise<TcpProxy> {
  const asked = new Map<string, number>();
  const open = new Set<Socket>();
  const state = { cut: false };
  const relay = (down: Socket) => {
    if (state.cut) return void down.destroy();
    const up = connect(port, "127.0.0.1");
    const cut = () => {
      down.destroy();
      up.destroy();
    };
    let harm: Harm = "none";
    for (const socket of [down, up]) {
      open.add(socket);
      socket.on("error", cut);
      socket.on("close", () => {
        open.delete(socket);
        cut();
      });
    }
    down.on("data", (bytes: Buffer) => {
      const [, method, path] = REQUEST.exec(bytes.toString("latin1")) ?? [];
      if (method !== undefined) {
        const request = `${method} ${path}`;
        const before = asked.get(request) ?? 0;
        asked.set(request, before + 1);
        harm = judge(request, before);
      }
      up.write(bytes);
    });
    up.on("data", (bytes: Buffer) => {
      if (harm === "lose") return cut();
      if (harm === "none" || !bytes.includes("manifest")) return void down.write(bytes);
      down.end(bytes.subarray(0, bytes.indexOf("manifest") + 20), cut);
    });
  };
  const server = createServer(relay);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const own = typeof address === "object" && address ? address.port : 0;
  return {
    url: `http://127.0.0.1:${own}`,
    asked,
    cut: () => {
      state.cut = true;
      for (const socket of open) socket.destroy();
    },
    mend: () => void (state.cut = false),
    close: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
