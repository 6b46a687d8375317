import { afterAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AlreadyRunning, isRunning, openDataDir, readMasterKey, readRunState } from "./data-dir.ts";
import { judgeExposure } from "./exposure.ts";
import { greetingText } from "./greeting.ts";
import { openLogFile } from "./log-file.ts";
import { PortBusy, probePort, probePorts } from "./ports.ts";

const root = mkdtempSync(join(tmpdir(), "intertie-data-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test("one at a time: the second is refused, and the lock ends with its holder, also by kill -9", async () => {
  const folder = join(root, "locked");
  const held = openDataDir(folder);
  expect(isRunning(folder)).toBe(true);
  expect(() => openDataDir(folder)).toThrow(AlreadyRunning);
  held.close();
  expect(isRunning(folder)).toBe(false);

  const script = join(root, "holder.ts");
  writeFileSync(
    script,
    `import { openDataDir } from ${JSON.stringify(join(import.meta.dir, "data-dir.ts"))}; globalThis.held = openDataDir(${JSON.stringify(folder)}); console.log("held"); setInterval(() => {}, 1000);`,
  );
  const holder = Bun.spawn([process.execPath, script], { stdout: "pipe" });
  await holder.stdout.getReader().read();
  expect(isRunning(folder)).toBe(true);
  holder.kill("SIGKILL");
  await holder.exited;
  expect(isRunning(folder)).toBe(false);
});

test("run.json says who runs, and is gone afterwards", () => {
  const folder = join(root, "state");
  const held = openDataDir(folder);
  const state = {
    format: 1,
    pid: 1,
    version: "0",
    startedAt: "",
    gatewayUrl: "",
    controlUrl: "http://c",
    engineUrl: "",
    databaseUrl: null,
    gateways: 1,
    exposure: "loopback",
    roles: [],
  } as const;
  held.writeRunState({ ...state, roles: [] });
  expect(readRunState(folder)?.controlUrl).toBe("http://c");
  expect(statSync(join(folder, "run.json")).mode & 0o777).toBe(0o600);
  held.close();
  expect(readRunState(folder)).toBeUndefined();
});

test("the master key is made once, with 0600, and one that others can read is refused", () => {
  const folder = join(root, "key");
  openDataDir(folder).close();
  expect(() => readMasterKey(folder, {}, false)).toThrow("there is no master key");
  const made = readMasterKey(folder, {}, true);
  expect(readMasterKey(folder, {}, true)).toEqual(made);
  const path = join(folder, "master.key");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  chmodSync(path, 0o644);
  expect(() => readMasterKey(folder, {}, true)).toThrow("chmod 600");
  expect(readMasterKey(folder, { text: readFileSync(path, "utf8") }, false)).toEqual(made);
});

test("a busy port is named together with its flag", async () => {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const refused = await probePort({ flag: "--port", host: "127.0.0.1", port }).catch(
    (error: unknown) => error,
  );
  expect(refused).toBeInstanceOf(PortBusy);
  expect(String(refused)).toContain(`port ${port}`);
  expect(String(refused)).toContain("--port");
  await new Promise((closed) => server.close(closed));
});

test("port 0 gives different free ports, of those that no outgoing connection takes before we listen", async () => {
  const wish = { flag: "--port", host: "127.0.0.1", port: 0 };
  const ports = await probePorts([wish, wish, wish]);
  expect(new Set(ports).size).toBe(3);
  expect(Math.max(...ports)).toBeLessThan(32_768);
});

test("beyond loopback only with TLS or behind a proxy", () => {
  const wish = { host: "127.0.0.1", tlsCert: undefined, tlsKey: undefined, behindProxy: false };
  expect(judgeExposure(wish)).toBe("loopback");
  expect(() => judgeExposure({ ...wish, host: "0.0.0.0" })).toThrow("--tls-cert");
  expect(judgeExposure({ ...wish, host: "0.0.0.0", behindProxy: true })).toBe("behind-proxy");
  expect(judgeExposure({ ...wish, host: "0.0.0.0", tlsCert: "c", tlsKey: "k" })).toBe("tls");
  expect(() => judgeExposure({ ...wish, tlsCert: "c" })).toThrow("belong together");
});

test("logs rotate and stay bounded", () => {
  const folder = join(root, "logs");
  const log = openLogFile(join(folder, "a.log"), 100, 2);
  for (let line = 0; line < 50; line += 1) log.write(`line ${line} ${"x".repeat(30)}\n`);
  expect(log.tail().at(-1)).toStartWith("line 49");
  log.close();
  const files = readdirSync(folder);
  expect(files.sort()).toEqual(["a.log", "a.log.1", "a.log.2"]);
  for (const name of files) expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(100);
});

test("the greeting has at most 14 lines, and the key only the first time", () => {
  const greeting = {
    version: "0.1.0",
    dataDir: "/d",
    exposure: "loopback",
    apiUrl: "http://localhost:4100/v1",
    consoleLink: "http://localhost:4110/start?link=x",
    firstKey: "it_live_x",
    model: "m",
    readyMs: 1200,
  } as const;
  const first = greetingText(greeting);
  expect(first.trimEnd().split("\n").length).toBeLessThanOrEqual(14);
  expect(first.match(/it_live_x/g)?.length).toBe(2);
  expect(greetingText({ ...greeting, firstKey: undefined })).not.toContain("it_live_x");
});
