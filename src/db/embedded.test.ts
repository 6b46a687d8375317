import { afterEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "./database.ts";
import { startEmbedded, type EmbeddedPostgres } from "./embedded.ts";
import { isAlive } from "./postgres-process.ts";

const parent = mkdtempSync(join(tmpdir(), "embedded-"));
// Nobody else may enter: what a checkout under /root looks like to the account that Postgres runs as.
chmodSync(parent, 0o700);
const folder = join(parent, "post gres");
let running: EmbeddedPostgres | undefined;

afterEach(async () => {
  await running?.stop();
});

async function answer(server: EmbeddedPostgres, statement: string): Promise<unknown> {
  const database = openDatabase(server.url);
  const { rows } = await database.pool.query(statement);
  await database.close();
  return rows;
}

test("data is kept between runs, the password is secret, a killed server's lock file is cleared", async () => {
  running = await startEmbedded({ folder });
  expect(running.attached).toBe(false);
  expect(statSync(join(folder, "password")).mode & 0o777).toBe(0o600);
  await answer(running, "create table kept (a bigint)");
  await answer(running, "insert into kept values (7)");

  const again = await startEmbedded({ folder });
  expect([again.attached, again.pid]).toEqual([true, running.pid]);

  process.kill(running.pid, "SIGKILL");
  const lockFile = join(folder, "data", "postmaster.pid");
  expect(readFileSync(lockFile, "utf8")).toStartWith(`${running.pid}\n`);
  while (isAlive(running.pid)) await Bun.sleep(5);
  running = await startEmbedded({ folder });
  expect(running.attached).toBe(false);
  expect(await answer(running, "select a from kept")).toEqual([{ a: 7n }]);

  await running.stop();
  // The number in a stale lock file may meanwhile be somebody else's.
  writeFileSync(lockFile, `${process.pid}\n\n\n5432\n\n\n\nready\n`);
  running = await startEmbedded({ folder });
  expect(await answer(running, "select a from kept")).toEqual([{ a: 7n }]);
});

test.if(process.platform === "linux")("the server does not inherit our environment", async () => {
  process.env["INTERTIE_MASTER_KEY"] = "must not be seen";
  running = await startEmbedded({ folder });
  delete process.env["INTERTIE_MASTER_KEY"];
  const environment = readFileSync(`/proc/${running.pid}/environ`, "utf8");
  expect(environment.includes("INTERTIE")).toBe(false);
});

test("data of another major version is refused by name", async () => {
  const other = join(parent, "other");
  await (await startEmbedded({ folder: other, durable: false })).stop();
  writeFileSync(join(other, "data", "PG_VERSION"), "12\n");
  expect(startEmbedded({ folder: other })).rejects.toThrow("written by Postgres 12");
  rmSync(other, { recursive: true });
});
