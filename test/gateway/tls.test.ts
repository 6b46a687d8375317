import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http2, { type ClientHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { tokenOf, until } from "../fakes/gateway.ts";
import { closeAfterEach, gateway, later, upstream } from "../fakes/stage.ts";
import {
  answers,
  answerText,
  DONE,
  endless,
  eventText,
  FINISH_EVENT,
  ROLE_EVENT,
  streams,
  type Play,
} from "../fakes/upstream.ts";

closeAfterEach();

/** A certificate for `localhost` that nobody signed but itself. */
function certificate(): { readonly cert: string; readonly key: string } {
  const folder = mkdtempSync(join(tmpdir(), "tls-"));
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const args =
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  execFileSync(
    "openssl",
    [...args.split(" "), "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
    { stdio: "ignore" },
  );
  const pair = { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
  rmSync(folder, { recursive: true });
  return pair;
}

const pair = certificate();

async function stage(play: Play, withTls = true) {
  const gate = gateway([await upstream(play)], withTls ? { tls: pair } : {});
  const { port } = gate.server;
  const session = http2.connect(
    withTls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`,
    withTls ? { ca: pair.cert } : {},
  );
  session.on("error", () => {});
  later(() => session.destroy());
  return { gate, session };
}

const headers = {
  ":method": "POST",
  ":path": "/v1/chat/completions",
  "content-type": "application/json",
  authorization: `Bearer ${tokenOf("live")}`,
};
const bodyOf = (stream: boolean) =>
  JSON.stringify({ model: "small", stream, messages: [{ role: "user", content: "x" }] });

function ask(session: ClientHttp2Session, stream = false, more: object = {}) {
  const call = session.request({ ...headers, ...more });
  call.on("error", () => {});
  call.end(bodyOf(stream));
  return call;
}

async function answer(call: ReturnType<typeof ask>): Promise<{ status: unknown; text: string }> {
  let status: unknown;
  let text = "";
  call.on("response", (head) => (status = head[":status"]));
  call.setEncoding("utf8");
  call.on("data", (piece: string) => (text += piece));
  await new Promise((resolve) => call.once("close", resolve));
  return { status, text };
}

test("h2 by ALPN: answers, streams, refusals, many at a time on one connection", async () => {
  const { gate, session } = await stage((reply, heard) =>
    heard.body.includes('"stream":true') ? streams(["a"])(reply, heard) : answers()(reply, heard),
  );
  const [whole, streamed, refused, ...more] = await Promise.all([
    answer(ask(session)),
    answer(ask(session, true)),
    answer(ask(session, false, { "x-api-key": "another" })),
    ...Array.from({ length: 20 }, () => answer(ask(session))),
  ]);
  expect(session.alpnProtocol).toBe("h2");
  expect(whole).toEqual({ status: 200, text: answerText() });
  expect(streamed.text).toBe(ROLE_EVENT + eventText("a") + FINISH_EVENT + DONE);
  expect(refused.status).toBe(400);
  expect(refused.text).toContain("key.ambiguous");
  expect(more.every((each) => each.status === 200)).toBe(true);
  expect(gate.facts().filter((fact) => fact.status === "ok").length).toBe(22);
});

test("h2: a caller who resets its stream is billed what was relayed, and the upstream let go", async () => {
  const { gate, session } = await stage(endless());
  const call = ask(session, true);
  await new Promise((resolve) => call.once("data", resolve));
  call.close(http2.constants.NGHTTP2_CANCEL);
  await until(() => gate.facts().length === 1);
  expect(gate.facts()[0]?.status).toBe("caller_left");
  await until(() => gate.server.openStreams() === 0);
});

test("HTTP/1.1 over TLS for whoever offers no h2; nothing older than TLS 1.2", async () => {
  const { gate } = await stage(answers());
  const { port } = gate.server;
  const response = await fetch(`https://localhost:${port}/healthz`, { tls: { ca: pair.cert } });
  expect(response.status).toBe(200);
  const protocolOf = (options: tls.ConnectionOptions) =>
    new Promise<string>((resolve) => {
      const socket = tls.connect({ host: "localhost", port, ca: pair.cert, ...options });
      socket.once("secureConnect", () => {
        resolve(`${socket.getProtocol()} ${socket.alpnProtocol || "none"}`);
        socket.destroy();
      });
      socket.once("error", () => resolve("refused"));
    });
  expect(await protocolOf({ ALPNProtocols: ["http/1.1"] })).toBe("TLSv1.3 http/1.1");
  expect(await protocolOf({ ALPNProtocols: ["h2", "http/1.1"] })).toBe("TLSv1.3 h2");
  expect(await protocolOf({ minVersion: "TLSv1.1", maxVersion: "TLSv1.1" })).toBe("refused");
});

test("h2c: callers that speak HTTP/2 from the first byte are served too", async () => {
  const { session } = await stage(answers(), false);
  expect(await answer(ask(session))).toEqual({ status: 200, text: answerText() });
});
