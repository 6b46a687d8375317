// A scripted upstream on loopback, over bare sockets, so that a test decides every byte and when the connection dies.
// Invariant: it hears one request at a time a connection, and what it was asked is kept for the test to read.

import { createServer, type Socket } from "node:net";

export interface Heard {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a script can do with one request. */
export interface Reply {
  readonly socket: Socket;
  /** Begins a chunked answer. */
  head(status?: number, headers?: Readonly<Record<string, string>>): void;
  /** One chunk; resolves when the socket takes more, false once the gateway has hung up. */
  chunk(text: string): Promise<boolean>;
  end(): void;
  /** A whole answer at once. */
  whole(status: number, body: string, headers?: Readonly<Record<string, string>>): void;
  /** Breaks the connection off. */
  cut(): void;
  /** Resolves when the other side has hung up. */
  readonly closed: Promise<void>;
}

export type Play = (reply: Reply, heard: Heard) => void | Promise<void>;

export interface FakeUpstream {
  /** With the `/v1` that engines have in their base URL. */
  readonly url: string;
  readonly heard: Heard[];
  /** What it does from now on. */
  play: Play;
  /** How many were opened to it. */
  readonly connections: () => number;
  close(): void;
}

const headText = (status: number, headers: Readonly<Record<string, string>>) =>
  `HTTP/1.1 ${status} X\r\n${Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;

function replyOn(socket: Socket, closed: Promise<void>): Reply {
  const write = (text: string) =>
    new Promise<boolean>((resolve) => {
      if (socket.destroyed || !socket.writable) resolve(false);
      else if (socket.write(text)) resolve(true);
      else {
        socket.once("drain", () => resolve(true));
        void closed.then(() => resolve(false));
      }
    });
  return {
    socket,
    closed,
    head: (status = 200, headers = { "content-type": "text/event-stream" }) =>
      void socket.write(headText(status, { ...headers, "transfer-encoding": "chunked" })),
    chunk: (text) => write(`${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`),
    end: () => void socket.write("0\r\n\r\n"),
    whole: (status, body, headers = { "content-type": "application/json" }) =>
      void socket.write(
        headText(status, { ...headers, "content-length": String(Buffer.byteLength(body)) }) + body,
      ),
    cut: () => void socket.destroy(),
  };
}

/** A whole request at the start of these bytes, and how long it is. */
function parse(bytes: Buffer): { heard: Heard; length: number } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [first = "", ...lines] = bytes.toString("latin1", 0, headEnd).split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const length = headEnd + 4 + Number(headers["content-length"] ?? "0");
  if (bytes.length < length) return undefined;
  const body = bytes.toString("utf8", headEnd + 4, length);
  return { heard: { path: first.split(" ")[1] ?? "", headers, body }, length };
}

export async function openFakeUpstream(play: Play): Promise<FakeUpstream> {
  const heard: Heard[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    const closed = new Promise<void>((resolve) => void socket.once("close", () => resolve()));
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => void sockets.delete(socket));
    let bytes: Buffer = Buffer.alloc(0);
    socket.on("data", (data: Buffer) => {
      bytes = Buffer.concat([bytes, data]);
      const request = parse(bytes);
      if (request === undefined) return;
      bytes = bytes.subarray(request.length);
      heard.push(request.heard);
      void fake.play(replyOn(socket, closed), request.heard);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the fake has no port");
  const fake: FakeUpstream = {
    url: `http://127.0.0.1:${address.port}/v1`,
    heard,
    play,
    connections: () => connections,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  return fake;
}

export const USAGE = { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15 };

export const answerText = (more: object = { usage: USAGE }) =>
  JSON.stringify({
    id: "chatcmpl-1",
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: "Good day" } }],
    ...more,
  });

export const answers =
  (body = answerText()): Play =>
  (reply) =>
    reply.whole(200, body, { "content-type": "application/json", "x-request-id": "up-1" });

export const refuses =
  (status: number, headers: Readonly<Record<string, string>> = {}): Play =>
  (reply) =>
    reply.whole(status, '{"error":{"message":"no"}}', {
      "content-type": "application/json",
      ...headers,
    });

/** Takes the request and says nothing. */
export const silent: Play = () => {};

export const eventText = (content: string) =>
  `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`;
export const ROLE_EVENT = `data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n`;
export const FINISH_EVENT = `data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n`;
export const usageText = (usage: object = USAGE) =>
  `data: ${JSON.stringify({ id: "c", choices: [], usage })}\n\n`;
export const DONE = "data: [DONE]\n\n";

/** Role, one event a word, finish, and the given tail. */
export const streams =
  (words: readonly string[], tail = usageText() + DONE): Play =>
  async (reply) => {
    reply.head();
    await reply.chunk(ROLE_EVENT);
    for (const word of words) await reply.chunk(eventText(word));
    await reply.chunk(FINISH_EVENT);
    await reply.chunk(tail);
    reply.end();
  };

/** Some words, then, when that resolves, the line is dead. */
export const cutsAfter =
  (words: readonly string[], when: Promise<void>): Play =>
  async (reply) => {
    reply.head();
    for (const word of words) await reply.chunk(eventText(word));
    await when;
    reply.cut();
  };

/** Events without end, as fast as they are taken. */
export const endless =
  (event = eventText("word ".repeat(200))): Play =>
  async (reply) => {
    reply.head();
    while (await reply.chunk(event)) await new Promise((resolve) => setImmediate(resolve));
  };
