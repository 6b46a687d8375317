import { afterAll, beforeAll, expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, type ClientHttp2Session } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { eventually, openStack, runIntertie, type Stack } from "../stack.ts";
import { logOf, openLoneRole } from "./processes.ts";

/** One stack that is open to the network, with a certificate that names neither localhost nor an address, as real ones do. */
const folder = mkdtempSync(join(tmpdir(), "intertie-exposure-"));
const cert = join(folder, "cert.pem");
const key = join(folder, "key.pem");
let stack: Stack;

const insecure = { tls: { rejectUnauthorized: false } };
const MODEL = "intertie-tiny";
const chat = JSON.stringify({
  model: MODEL,
  max_tokens: 4,
  messages: [{ role: "user", content: "What is a lantern?" }],
});

function openssl(line: string): void {
  const made = Bun.spawnSync(["openssl", ...line.split(" ")], { cwd: folder });
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
}

beforeAll(async () => {
  openssl(
    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ai.example -addext subjectAltName=DNS:ai.example -keyout key.pem -out cert.pem",
  );
  openssl("ecparam -name prime256v1 -genkey -noout -out other.pem");
  stack = await openStack({
    gateways: 1,
    flags: ["--host", "0.0.0.0", "--tls-cert", cert, "--tls-key", key],
    settings: { INTERTIE_METRICS_TOKEN: "a-collector-of-ours" },
  });
}, 90_000);

afterAll(async () => {
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

const portOf = (url: string) => Number(new URL(url).port);
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test("what would show keys in clear, or cannot work, is refused before anything is made", async () => {
  const dataDir = join(folder, "refused");
  const refusals = [
    [["--host", "0.0.0.0"], "--behind-proxy"],
    [["--tls-cert", "no.pem", "--tls-key", key], "--tls-cert no.pem: there is no such file"],
    [["--tls-cert", cert, "--tls-key", join(folder, "other.pem")], "does not belong to"],
  ] as const;
  const answers = await Promise.all(
    refusals.map(([flags]) => runIntertie(["up", "--data-dir", dataDir, ...flags])),
  );
  for (const [index, [, words]] of refusals.entries()) {
    expect(answers[index]).toMatchObject({ code: 1, out: "", err: expect.stringContaining(words) });
  }
  expect(existsSync(dataDir)).toBe(false);
}, 30_000);

const connected = (session: ClientHttp2Session) =>
  new Promise<void>((resolve, reject) => {
    session.once("connect", () => resolve());
    session.once("error", reject);
  });

test("a gateway speaks HTTP/2 by ALPN, with the operator's certificate", async () => {
  const session = connect(new URL(stack.apiUrl).origin, { rejectUnauthorized: false });
  await connected(session);
  expect(session.alpnProtocol).toBe("h2");
  const request = session.request({
    ":method": "POST",
    ":path": "/v1/chat/completions",
    "content-type": "application/json",
    ...bearer(stack.firstKey ?? ""),
  });
  request.end(chat);
  const status = new Promise<unknown>((resolve) => {
    request.once("response", (headers) => resolve(headers[":status"]));
  });
  let text = "";
  for await (const bytes of request) text += String(bytes);
  expect(await status).toBe(200);
  expect(JSON.parse(text)).toMatchObject({ object: "chat.completion", model: MODEL });
  session.close();
});

test("callers who know HTTP/1.1 only are answered on the same port", async () => {
  const socket = connectTls({
    port: portOf(stack.apiUrl),
    rejectUnauthorized: false,
    ALPNProtocols: ["http/1.1"],
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("secureConnect", () => resolve());
    socket.once("error", reject);
  });
  expect(socket.alpnProtocol).toBe("http/1.1");
  const shown = new X509Certificate(socket.getPeerCertificate().raw);
  expect(shown.subject).toBe(new X509Certificate(readFileSync(cert)).subject);
  socket.destroy();
  const answer = await fetch(`${stack.apiUrl}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", ...bearer(stack.firstKey ?? "") },
    body: chat,
    ...insecure,
  });
  expect(answer.status).toBe(200);
});

test("nothing is answered in clear", async () => {
  for (const url of [stack.apiUrl, stack.controlUrl]) {
    const clear = await fetch(`http://localhost:${portOf(url)}/healthz`).catch(() => undefined);
    expect(clear?.ok ?? false).toBe(false);
  }
});

test("gateways and console answer on every address, the engine on loopback's first alone", async () => {
  const elsewhere = "127.0.0.2";
  for (const url of [stack.apiUrl, stack.controlUrl]) {
    const health = `https://${elsewhere}:${portOf(url)}/healthz`;
    expect((await fetch(health, insecure)).status).toBe(200);
  }
  const engine = `http://${elsewhere}:${portOf(stack.engineUrl)}/healthz`;
  expect(await fetch(engine).catch(() => "refused")).toBe("refused");
});

test("console, API and command line work over TLS; a console's session cookie is Secure", async () => {
  const page = await fetch(stack.controlUrl, insecure);
  expect([page.status, page.headers.get("content-type")]).toEqual([
    200,
    "text/html; charset=utf-8",
  ]);
  expect(page.headers.get("strict-transport-security")).toContain("max-age=");
  const link = new URL(stack.consoleLink).searchParams.get("link");
  const session = await fetch(`${stack.controlUrl}/api/v1/sessions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ link }),
    ...insecure,
  });
  expect(session.status).toBe(201);
  const cookie = session.headers.get("set-cookie") ?? "";
  for (const part of ["; Secure", "; HttpOnly", "; SameSite=Strict"])
    expect(cookie).toContain(part);
  expect((await stack.control("GET", "/keys")).status).toBe(200);
  const listed = await stack.cli("keys", "list", "--json");
  expect([listed.code, listed.err]).toEqual([0, ""]);
  expect((await stack.cli("doctor")).code).toBe(0);
});

test("the roles of one machine find each other: uplink, ledger, playground", async () => {
  await eventually("both answers in the ledger", async () => {
    const { body } = await stack.control("GET", "/requests");
    const { items } = body as { items: { status: string }[] };
    return items.filter(({ status }) => status === "ok").length >= 2 ? true : undefined;
  });
  expect(logOf(stack, "gateway-0").some(({ event }) => event === "uplink.open")).toBe(true);
  const played = await fetch(`${stack.controlUrl}/api/v1/playground/chat`, {
    method: "POST",
    headers: { "content-type": "application/json", ...bearer(stack.adminKey) },
    body: chat,
    ...insecure,
  });
  expect(played.status).toBe(200);
  expect(await played.text()).toEndWith("data: [DONE]\n\n");
});

test("metrics are for who has a right to them", async () => {
  const { origin } = new URL(stack.apiUrl);
  const status = async (url: string, token?: string) =>
    (await fetch(`${url}/metrics`, { headers: token ? bearer(token) : {}, ...insecure })).status;
  expect(await status(stack.controlUrl)).toBe(401);
  expect(await status(stack.controlUrl, stack.firstKey)).toBe(403);
  expect(await status(stack.controlUrl, stack.adminKey)).toBe(200);
  expect(await status(stack.controlUrl, "a-collector-of-ours")).toBe(200);
  expect(await status(origin)).toBe(404);
  expect(await status(origin, stack.firstKey)).toBe(404);
  expect(await status(origin, "a-collector-of-ours")).toBe(200);
});

test("by default control answers on loopback, and to no other name than loopback's", async () => {
  const control = await openLoneRole({
    role: "control",
    of: stack,
    settings: { DATABASE_URL: stack.state().databaseUrl ?? "" },
  });
  try {
    const asked = (host: string) =>
      fetch(`${control.origin}/api/v1/keys`, { headers: { host, ...bearer(stack.adminKey) } });
    const own = new URL(control.origin).host;
    await eventually("control to answer", async () =>
      (await asked(own).catch(() => undefined))?.status === 200 ? true : undefined,
    );
    for (const host of [
      "evil.example",
      `evil.example:${portOf(control.origin)}`,
      "localhost.evil.example",
    ]) {
      const refused = await asked(host);
      expect(refused.status).toBe(403);
      expect(await refused.json()).toMatchObject({ error: { code: "permission.denied" } });
    }
  } finally {
    await control.stop();
  }
}, 30_000);
