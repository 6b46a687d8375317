import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, openStack, runIntertie, type Stack } from "../stack.ts";
import { freeze, logOf, openLoneRole, pidOf, withDatabase } from "./processes.ts";
import { knownEverywhere } from "./world.ts";

/** Whatever could have been written by a later version meets this one. */
let stack: Stack;
const folder = mkdtempSync(join(tmpdir(), "intertie-upgrade-"));

beforeAll(async () => {
  stack = await openStack({ gateways: 1 });
}, 90_000);

afterAll(async () => {
  await stack.stop();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

test("a database of a newer version is refused, naming what is not known and what to do", async () => {
  const newer = "0999_of_a_later_version.sql";
  await withDatabase(stack, (client) =>
    client.query("insert into migrations (name, digest) values ($1, 'x')", [newer]),
  );
  try {
    const flags = ["--port", "0", "--control-port", "0", "--engine-port", "0"];
    const [up, doctor] = await Promise.all([
      runIntertie(["up", "--data-dir", join(folder, "old"), ...flags], {
        DATABASE_URL: stack.state().databaseUrl ?? "",
      }),
      stack.cli("doctor"),
    ]);
    expect([up.code, up.out]).toEqual([1, ""]);
    expect(up.err).toContain(
      `the database has migration ${newer}, which this version does not know`,
    );
    expect(up.err).toContain("start the newer version of intertie");
    expect(existsSync(join(folder, "old", "run.json"))).toBe(false);
    expect(doctor.code).toBe(1);
    expect(doctor.out).toContain(`migrated by a newer version: ${newer}`);
  } finally {
    await withDatabase(stack, (client) =>
      client.query("delete from migrations where name = $1", [newer]),
    );
  }
}, 30_000);

test("a disk snapshot of a later format is left aside with a word in the log, and control's is served", async () => {
  const before = pidOf(stack, "gateway-0");
  const path = join(stack.dataDir, "gateways", "0", "snapshot", "manifest.json");
  freeze([before]);
  const manifest: object = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...manifest, format: 2, more: true }));
  process.kill(before, "SIGKILL");
  await eventually("the gateway to start again", () =>
    ![0, before].includes(pidOf(stack, "gateway-0")) ? true : undefined,
  );
  await knownEverywhere(stack, stack.firstKey ?? "");
  expect(logOf(stack, "gateway-0")).toContainEqual(
    expect.objectContaining({ event: "snapshot.refused", reason: "format 2 is not 1" }),
  );
  await eventually("this version's own on the disk again", () =>
    readFileSync(path, "utf8").startsWith('{"format":1,') ? true : undefined,
  );
}, 30_000);

test("control that does not serve this gateway's uplink version: the log says so, callers are served from the disk", async () => {
  const asked: string[] = [];
  const later = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      asked.push(new URL(request.url).pathname);
      const message = "uplink version 1 is not served here; served are: 2, 3";
      return Response.json({ error: { code: "uplink.version", message } }, { status: 426 });
    },
  });
  const gateway = await openLoneRole({
    role: "gateway",
    of: stack,
    settings: { INTERTIE_CONTROL_URL: later.url.origin },
  });
  try {
    const models = () =>
      fetch(`${gateway.origin}/v1/models`, {
        headers: { authorization: `Bearer ${stack.firstKey ?? ""}` },
      });
    const answer = await eventually("an answer", () => models().catch(() => undefined));
    expect(answer.status).toBe(200);
    const complaint = await eventually("the complaint", () =>
      gateway.log().find(({ event }) => event === "uplink.away"),
    );
    expect(complaint).toMatchObject({
      level: "error",
      reason: "uplink.version: uplink version 1 is not served here; served are: 2, 3",
    });
    expect(asked).toContain("/uplink/v1/session");
    expect((await fetch(`${gateway.origin}/readyz`)).status).toBe(200);
  } finally {
    await gateway.stop();
    await later.stop(true);
  }
}, 30_000);

test("a journal of a later format is neither misread nor thrown away: the gateway names the file and does not start", async () => {
  let path = "";
  const head = JSON.stringify({ format: 2, gateway: "gw_x", sequence: 1 });
  const bytes = Buffer.concat([
    Buffer.from("ITS1\0\0\0"),
    Buffer.from([head.length]),
    Buffer.from(head),
  ]);
  const gateway = await openLoneRole({
    role: "gateway",
    of: stack,
    settings: { INTERTIE_CONTROL_URL: "http://127.0.0.1:1" },
    prepare: (gatewayFolder) => {
      path = join(gatewayFolder, "journal", "000000000001.segment");
      mkdirSync(join(gatewayFolder, "journal"));
      writeFileSync(path, bytes);
    },
  });
  try {
    const failed = await eventually("the refusal", () =>
      gateway.log().find(({ event }) => event === "role.failed"),
    );
    expect(failed["reason"]).toBe(
      `${path}: format 2 is not one that this version reads (it reads 1)`,
    );
    expect(readFileSync(path)).toEqual(bytes);
  } finally {
    await gateway.stop();
  }
}, 30_000);
