import { afterAll, beforeAll, expect, test } from "bun:test";
import { openTestDatabase, type TestDatabase } from "../db/test-database.ts";
import { fakeJournal, seedTenant, type Tenant } from "../billing/tenant.fixture.ts";
import {
  newGateway,
  openControl,
  scriptedGiver,
  uplinkKey,
  type Control,
  type ControlOptions,
} from "../../test/uplink/control.ts";
import {
  begin as beginAt,
  noLeases,
  refusal,
  send as sendTo,
  session,
  V1,
  type Ask,
} from "../../test/uplink/raw-call.ts";
import { bearerOf } from "./rules.ts";

let database: TestDatabase;
let tenant: Tenant;
let control: Control;
const script = scriptedGiver();

beforeAll(async () => {
  database = await openTestDatabase();
  tenant = await seedTenant(database);
  control = await openControl(database, { leases: script.giver });
});
afterAll(async () => {
  await control.close();
  await database.close();
});

const send = (gateway: string, path: string, ask: Partial<Ask> = {}) =>
  sendTo(gateway, path, { url: control.url, ...ask });

const begin = (gateway = newGateway(), url = control.url) => beginAt(gateway, url);

async function withControl(options: ControlOptions, use: (other: Control) => Promise<void>) {
  const other = await openControl(database, options);
  try {
    await use(other);
  } finally {
    await other.close();
  }
}

test("200: a session answers its epoch, what is committed, and how often to beat", async () => {
  const gateway = newGateway();
  const first = await send(gateway, "v1/session", { body: V1.session });
  expect([first.status, await first.json()]).toEqual([
    200,
    { epoch: 1, committed: {}, heartbeatMs: 600, lostMs: 6_000, shareMs: 900_000 },
  ]);
  const journal = fakeJournal(gateway);
  for (let n = 0; n < 3; n += 1)
    await send(gateway, "v1/segments", { epoch: 1, body: journal.settle([tenant.fact()]).bytes });
  const again = await send(gateway, "v1/session", { body: { ...session, resumes: 1 } });
  expect(await again.json()).toMatchObject({ epoch: 2, committed: { "0": 3 } });
  expect(script.said).toContain("open 2 resumes 1 recovered 0");
  // A new process forgot what it shipped; the giver must wait for all of it to be posted.
  await send(gateway, "v1/session", { body: session });
  expect(script.said).toContain("open 3 resumes null recovered 3");
});

test("400: a malformed session names its field", async () => {
  const gateway = newGateway();
  const bad = (change: object) => send(gateway, "v1/session", { body: { ...session, ...change } });
  expect(await refusal(await bad({ cell: "" }))).toEqual([400, "request.invalid", "cell"]);
  expect(await refusal(await bad({ resumes: "1" }))).toEqual([400, "request.invalid", "resumes"]);
  expect(await refusal(await send(gateway, "v1/session", { body: "[" }))).toEqual([
    400,
    "request.json",
    undefined,
  ]);
  expect(await refusal(await send(gateway, "v1/session", { body: "[]" }))).toEqual([
    400,
    "request.invalid",
    "body",
  ]);
});

test("401: no credential, another gateway's, another key's, a name that is none, on every path alike", async () => {
  const { gateway, epoch } = await begin();
  const other = newGateway();
  const forged = `Bearer ${bearerOf(new Uint8Array(32), gateway)}`;
  const tries: Record<string, string>[] = [
    { authorization: "" },
    { authorization: forged },
    { "x-intertie-gateway": other },
    { "x-intertie-gateway": "gw_1", authorization: `Bearer ${bearerOf(uplinkKey, "gw_1")}` },
  ];
  for (const path of ["session", "leases", "segments", "feed", "leave", "nothing"]) {
    for (const headers of tries) {
      const answer = await send(gateway, `v1/${path}`, { epoch, headers, body: {} });
      expect(await refusal(answer)).toEqual([401, "uplink.unauthorised", undefined]);
    }
  }
  for (const path of ["stream", `sections/${"0".repeat(64)}`])
    expect(
      (await send(gateway, `v1/${path}`, { epoch, headers: { authorization: "" } })).status,
    ).toBe(401);
});

test("426: a version that is not served is told which are, before anything else of it is judged", async () => {
  const gateway = newGateway();
  const answer = await send(gateway, "v1/session", { body: { uplinkVersion: 9, shape: "new" } });
  const { error } = (await answer.json()) as { error: Record<string, string> };
  expect([answer.status, error["code"], error["field"]]).toEqual([
    426,
    "uplink.version",
    "uplinkVersion",
  ]);
  expect(error["message"]).toContain("served are: 1");
  expect((await send(gateway, "v9/session", { body: session })).status).toBe(426);
});

test("200: control N takes what a gateway of version N−1 says, as recorded", async () => {
  await withControl({ leases: script.giver, versions: [1, 2] }, async ({ url }) => {
    const gateway = newGateway();
    expect((await send(gateway, "v1/session", { body: V1.session, url })).status).toBe(200);
    const answer = await send(gateway, "v1/leases", { epoch: 1, body: V1.leases, url });
    expect(await answer.json()).toEqual({
      grants: [
        {
          resource: "spend:project:proj_1:2026-11",
          amount: "2000000000000000000000",
          termMs: 60_000,
          mode: "ample",
          retryAfterMs: 0,
        },
      ],
      sharePpm: 1_000_000,
    });
    expect(script.exchanges.at(-1)).toEqual({
      gateway,
      epoch: 1,
      sequence: 1,
      sharePpm: 0,
      declares: [{ resource: "streams:key:key_1", amount: 2n }],
      takes: [
        { resource: "spend:project:proj_1:2026-11", need: 10n ** 21n, want: 2n * 10n ** 21n },
      ],
      gives: [{ resource: "tokens:project:proj_1", amount: 5n }],
    });
  });
});

test("409: a superseded epoch, one that never was, and none at all are fenced on every call of a session", async () => {
  const { gateway } = await begin();
  await begin(gateway);
  for (const headers of [{ "x-intertie-epoch": "1" }, { "x-intertie-epoch": "3" }, {}] as Record<
    string,
    string
  >[]) {
    for (const path of ["leases", "segments", "feed", "leave"])
      expect(await refusal(await send(gateway, `v1/${path}`, { headers, body: noLeases }))).toEqual(
        [409, "uplink.fenced", undefined],
      );
    expect((await send(gateway, "v1/stream", { headers })).status).toBe(409);
  }
});

test("413: a session's request is small", async () => {
  const answer = await send(newGateway(), "v1/session", { body: "x".repeat(70_000) });
  expect(await refusal(answer)).toEqual([413, "request.too_large", undefined]);
});

test("404: nothing at other paths, methods and digests", async () => {
  const { gateway, epoch } = await begin();
  for (const [path, ask] of [
    ["v1/nothing", { body: {} }],
    ["v1/session", {}],
    ["v1/leases/more", { epoch, body: noLeases }],
  ] as const)
    expect(await refusal(await send(gateway, path, ask))).toEqual([
      404,
      "route.not_found",
      undefined,
    ]);
  for (const digest of ["0".repeat(64), "short", "..%2f..%2fetc"])
    expect(await refusal(await send(gateway, `v1/sections/${digest}`))).toEqual([
      404,
      "entity.not_found",
      undefined,
    ]);
});

test("503: a control that is stopping says so, and its streams end", async () => {
  const other = await openControl(database);
  const { gateway, epoch } = await begin(newGateway(), other.url);
  const stream = await send(gateway, "v1/stream", { epoch, url: other.url });
  other.uplink.close();
  expect(
    await refusal(await send(gateway, "v1/leases", { epoch, body: noLeases, url: other.url })),
  ).toEqual([503, "service.draining", undefined]);
  expect(await stream.text()).toStartWith('{"type":"heartbeat"}\n');
  await other.close();
});

test("503: nothing is granted while it cannot be written down of whom control heard", async () => {
  const { giver, exchanges } = scriptedGiver();
  const gone = Object.assign(new Error("gone"), { code: "ECONNREFUSED" });
  const gateways = {
    open: async () => 1,
    seen: () => Promise.reject(gone),
    leave: async () => {},
  };
  await withControl({ leases: giver, gateways }, async ({ url }) => {
    const { gateway, epoch } = await begin(newGateway(), url);
    const asked = await send(gateway, "v1/leases", { epoch, body: noLeases, url });
    expect(await refusal(asked)).toEqual([503, "database.unavailable", undefined]);
    expect(exchanges).toEqual([]);
  });
});

test("200: an exchange reaches the giver once, however often it is sent; 409: one that does not follow", async () => {
  const { gateway, epoch } = await begin();
  const take = { resource: "requests:key:key_1", need: "1", want: "7" };
  const ask = (sequence: number) =>
    send(gateway, "v1/leases", { epoch, body: { ...noLeases, sequence, takes: [take] } });
  const before = script.exchanges.length;
  const answers = await Promise.all([ask(1), ask(1), ask(1)]);
  const bodies = await Promise.all(answers.map((answer) => answer.text()));
  expect(new Set(bodies).size).toBe(1);
  expect(script.exchanges.length).toBe(before + 1);
  expect((await ask(2)).status).toBe(200);
  expect(await refusal(await ask(4))).toEqual([409, "uplink.fenced", undefined]);
  // After that nobody knows what counts: the session is over.
  expect((await ask(3)).status).toBe(409);
});

test("500, then 409: a giver that failed half-way ends the session", async () => {
  const { giver } = scriptedGiver();
  const broken = { ...giver, exchange: () => Promise.reject(new Error("half-way")) };
  await withControl({ leases: broken }, async ({ url }) => {
    const { gateway, epoch } = await begin(newGateway(), url);
    const ask = () => send(gateway, "v1/leases", { epoch, body: noLeases, url });
    expect(await refusal(await ask())).toEqual([500, "internal", undefined]);
    expect(await refusal(await ask())).toEqual([409, "uplink.fenced", undefined]);
  });
});

test("400: a malformed exchange names its field, and the session goes on", async () => {
  const { gateway, epoch } = await begin();
  const ask = (change: object) =>
    send(gateway, "v1/leases", { epoch, body: { ...noLeases, ...change } });
  const take = { resource: "requests:key:k", need: "1", want: "1" };
  const cases = [
    [{ takes: [take, { ...take, need: 1 }] }, "takes[1].need"],
    [{ takes: [{ ...take, want: "-1" }] }, "takes[0].want"],
    [{ takes: [{ ...take, resource: "money:key:k" }] }, "takes[0].resource"],
    [{ gives: [{ resource: take.resource, amount: "1e9" }] }, "gives[0].amount"],
    [{ sharePpm: 1_000_001 }, "sharePpm"],
    [{ sequence: 0 }, "sequence"],
    [{ takes: Array.from({ length: 1_001 }, () => take) }, "takes"],
  ] as const;
  for (const [change, field] of cases)
    expect(await refusal(await ask(change))).toEqual([400, "request.invalid", field]);
  expect((await ask({})).status).toBe(200);
});

test("segments: 200 taken and 200 again, 409 gap, 409 fork, 400 no segment and another's", async () => {
  const { gateway, epoch } = await begin();
  const journal = fakeJournal(gateway, epoch);
  const [one, two, three] = [0, 1, 2].map(() => journal.settle([tenant.fact()]));
  const ship = (bytes?: Uint8Array) => send(gateway, "v1/segments", { epoch, body: bytes ?? "" });
  expect(await (await ship(one?.bytes)).json()).toEqual({ lane: 0, committed: 1 });
  expect(await (await ship(one?.bytes)).json()).toEqual({ lane: 0, committed: 1 });
  expect((await refusal(await ship(three?.bytes)))[1]).toBe("uplink.gap");
  expect(await (await ship(two?.bytes)).json()).toEqual({ lane: 0, committed: 2 });
  const forked = fakeJournal(gateway, epoch).settle([tenant.fact()]);
  expect(await refusal(await ship(forked.bytes))).toEqual([409, "uplink.fork", undefined]);
  expect((await refusal(await ship(new Uint8Array(9))))[1]).toBe("request.invalid");
  expect((await refusal(await ship(fakeJournal().settle([]).bytes)))[1]).toBe("request.invalid");
});

test("409: a segment sealed under an epoch that later ones superseded is a fork, not a reason for a new session", async () => {
  const { gateway } = await begin();
  const { epoch } = await begin(gateway);
  const newer = fakeJournal(gateway, 2);
  const older = fakeJournal(gateway, 1);
  const first = newer.settle([tenant.fact()]);
  const ship = (body: Uint8Array) => send(gateway, "v1/segments", { epoch, body });
  expect((await ship(first.bytes)).status).toBe(200);
  older.seal([]);
  expect((await refusal(await ship(older.seal([]).bytes)))[1]).toBe("uplink.fork");
});

test("200: a section answers its bytes to any gateway", async () => {
  await control.publish();
  const { rows } = await database.pool.query<{ digest: string; body: Buffer }>(
    "select digest, body from snapshot_sections limit 1",
  );
  const answer = await send(newGateway(), `v1/sections/${rows[0]?.digest}`);
  expect(answer.status).toBe(200);
  expect(Buffer.from(await answer.bytes()).equals(rows[0]?.body ?? Buffer.alloc(0))).toBe(true);
});

test("feed: 204, and 400 for another gateway's counts", async () => {
  const { gateway, epoch } = await begin();
  const delta = {
    cell: "local",
    gateway,
    epoch,
    sequence: 1,
    expiresInMs: 2_000,
    inFlight: { a: 1 },
  };
  const tell = (change: object) =>
    send(gateway, "v1/feed", { epoch, body: { ...delta, ...change } });
  expect((await tell({})).status).toBe(204);
  expect(await refusal(await tell({ gateway: newGateway() }))).toEqual([
    400,
    "request.invalid",
    "gateway",
  ]);
  expect(await refusal(await tell({ cell: "other" }))).toEqual([400, "request.invalid", "cell"]);
  expect(await refusal(await tell({ inFlight: { a: -1 } }))).toEqual([
    400,
    "request.invalid",
    "inFlight.a",
  ]);
});

test("204: leaving ends the session and is written down", async () => {
  const { gateway, epoch } = await begin();
  expect((await send(gateway, "v1/leave", { epoch, body: "" })).status).toBe(204);
  expect(script.said.at(-1)).toBe("leave 1");
  expect((await send(gateway, "v1/leave", { epoch, body: "" })).status).toBe(409);
  const { rows } = await database.pool.query<{ left_at: Date | null }>(
    "select left_at from gateways where id = $1",
    [gateway],
  );
  expect(rows[0]?.left_at).toBeInstanceOf(Date);
});
