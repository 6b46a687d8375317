// Bytes on a socket, for tests of what no well-behaved client sends.
// Invariant: whoever opened a wire learns when and how the other side closed it.

import { connect, type Socket } from "node:net";

export interface Wire {
  readonly socket: Socket;
  /** What came so far. */
  readonly text: () => string;
  /** Milliseconds after opening at which the other side was gone. */
  readonly closed: Promise<number>;
  /** Resolves with all that came once it holds this text; rejects when the other side closes before. */
  until(text: string): Promise<string>;
}

/** Opens a connection and sends this first. */
export function openWire(port: number, first: string | Uint8Array = ""): Wire {
  const socket = connect(port, "127.0.0.1");
  const openedAt = performance.now();
  let text = "";
  const listeners = new Set<() => void>();
  const tell = () => listeners.forEach((listener) => listener());
  socket.on("data", (data: Buffer) => {
    text += data.toString("latin1");
    tell();
  });
  socket.on("error", () => {});
  const closed = new Promise<number>((resolve) => {
    socket.once("close", () => {
      resolve(performance.now() - openedAt);
      tell();
    });
  });
  socket.write(first);
  return {
    socket,
    text: () => text,
    closed,
    until: (wanted) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (text.includes(wanted)) resolve(text);
          else if (socket.closed) reject(new Error(`closed after ${JSON.stringify(text)}`));
          else return;
          listeners.delete(look);
        };
        listeners.add(look);
        look();
      }),
  };
}

/** Head and body of one request; the length is told unless the headers say otherwise. */
export function requestText(
  path: string,
  headers: readonly string[],
  body = "",
  version = "1.1",
): string {
  const length = headers.some((line) => /^(?:content-length|transfer-encoding):/i.test(line))
    ? []
    : [`content-length: ${Buffer.byteLength(body)}`];
  return `${[`POST ${path} HTTP/${version}`, "host: gateway", ...headers, ...length].join("\r\n")}\r\n\r\n${body}`;
}
