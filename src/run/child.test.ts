import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../kit/log.ts";
import { openChild, type Child } from "./child.ts";
import { openLogFile } from "./log-file.ts";

const folder = mkdtempSync(join(tmpdir(), "intertie-child-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function startScript(
  name: string,
  script: string,
): { child: Child; nextPid: () => Promise<number>; logPath: string } {
  const path = join(folder, `${name}.ts`);
  writeFileSync(path, script);
  let heard = Promise.withResolvers<number>();
  const logPath = join(folder, `${name}.log`);
  const child = openChild({
    name,
    command: [process.execPath, path],
    settings: { INTERTIE_SLOT: "7" },
    logFile: openLogFile(logPath),
    log: silentLog,
    onPid: (pid) => {
      if (pid === 0) return;
      heard.resolve(pid);
      heard = Promise.withResolvers();
    },
  });
  return { child, logPath, nextPid: () => heard.promise };
}

const steady = `process.on("SIGTERM", () => process.exit(0)); process.on("disconnect", () => process.exit(0)); process.send?.("ready"); setInterval(() => {}, 1000);`;

test("a killed role comes back, and a stopped one does not", async () => {
  const { child, nextPid } = startScript("steady", steady);
  await child.ready;
  const first = child.pid;
  const again = nextPid();
  process.kill(first, "SIGKILL");
  expect(await again).not.toBe(first);
  expect(child.restarts).toBe(1);
  await child.stop(5_000);
  expect(child.pid).toBe(0);
});

test("a role that never gets ready is given up with its last words", async () => {
  const { child } = startScript("broken", `console.error("no such table"); process.exit(3);`);
  const reason = await child.ready.then(
    () => "ready",
    (error: unknown) => String(error),
  );
  expect(reason).toContain("broken does not start");
  expect(reason).toContain("no such table");
  await child.stop(1_000);
});

test("a role that ignores SIGTERM is killed after its bound", async () => {
  const { child } = startScript(
    "deaf",
    `process.on("SIGTERM", () => {}); process.send?.("ready"); setInterval(() => {}, 1000);`,
  );
  await child.ready;
  const { pid } = child;
  await child.stop(100);
  expect(() => process.kill(pid, 0)).toThrow();
});

test("a role sees its settings and its output lands in its log", async () => {
  const { child, logPath } = startScript(
    "settings",
    `console.log("slot " + process.env.INTERTIE_SLOT); ${steady}`,
  );
  await child.ready;
  await child.stop(5_000);
  expect(readFileSync(logPath, "utf8")).toContain("slot 7");
});
