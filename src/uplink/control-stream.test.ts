import { afterAll, beforeAll, expect, test } from "bun:test";
import { openTestDatabase, type TestDatabase } from "../db/test-database.ts";
import { manualClock } from "../kit/clock.ts";
import type { Log } from "../kit/log.ts";
import {
  newGateway,
  openControl,
  scriptedGiver,
  uplinkKey,
  type Control,
} from "../../test/uplink/control.ts";
import { eventLog } from "../../test/uplink/gateway.ts";
import { begin, credential, noLeases, send, V1 } from "../../test/uplink/raw-call.ts";
import { createUplink } from "./control.ts";

let database: TestDatabase;
let control: Control;
const script = scriptedGiver();

beforeAll(async () => {
  database = await openTestDatabase();
  control = await openControl(database, { leases: script.giver });
});
afterAll(async () => {
  await control.close();
  await database.close();
});

test("the stream: the newest manifest first, then each that is published, recalls, beats; one stream a session", async () => {
  const sequence = await control.publish();
  const { gateway, epoch } = await begin(newGateway(), control.url);
  const stream = await send(gateway, "v1/stream", { epoch, url: control.url });
  expect(stream.headers.get("content-type")).toBe("application/x-ndjson");
  const reader = stream.body?.getReader();
  let text = "";
  const until = async (part: string) => {
    while (!text.includes(part)) {
      const next = await reader?.read();
      if (!next || next.done) throw new Error("the stream ended");
      text += new TextDecoder().decode(next.value);
    }
  };
  await until(`"sequence":${sequence},`);
  const next = await control.publish();
  await until(`"sequence":${next},`);
  script.recall(newGateway(), ["tokens:key:key_2"]);
  script.recall(gateway, ["tokens:key:key_1"]);
  await until('{"type":"recall","resources":["tokens:key:key_1"]}\n');
  expect(text).not.toContain("key_2");
  text = "";
  await until('{"type":"heartbeat"}\n');
  const other = await send(gateway, "v1/stream", { epoch, url: control.url });
  await expect(until("never")).rejects.toThrow("ended");
  await other.body?.cancel();
});

/** Without a socket: nobody pulls, as behind a full one. */
async function unread(uplink: ReturnType<typeof createUplink>) {
  const gateway = newGateway();
  const call = async (path: string, init: RequestInit & { headers?: Record<string, string> }) => {
    const headers = { ...credential(gateway), ...init.headers };
    const answer = await uplink.handler(
      new Request(`http://localhost/uplink/v1/${path}`, { ...init, headers }),
    );
    if (!answer) throw new Error("not mine");
    return answer;
  };
  const { epoch } = (await (
    await call("session", { method: "POST", body: V1.session })
  ).json()) as { epoch: number };
  const headers = { "x-intertie-epoch": String(epoch) };
  const stream = await call("stream", { headers });
  return {
    stream,
    beat: () =>
      call("leases", {
        method: "POST",
        body: JSON.stringify({ ...noLeases, sequence: (sequence += 1) }),
        headers,
      }),
  };
}
let sequence = 0;

const bare = (clock: ReturnType<typeof manualClock>, lostMs: number, log: Log) =>
  createUplink({
    key: uplinkKey,
    gateways: { open: async () => 1, seen: async () => {}, leave: async () => {} },
    segments: { committed: async () => ({}), receive: async () => ({ lane: 0, committed: 0 }) },
    leases: scriptedGiver().giver,
    snapshot: { latest: () => undefined, section: async () => undefined, onPublish: () => {} },
    terms: { lostMs, shareMs: 60_000 },
    clock,
    log,
  });

test("a stream that takes nothing for ten seconds is cut, though its gateway is alive", async () => {
  const clock = manualClock();
  const events = eventLog();
  const uplink = bare(clock, 9_000, events.log);
  const { stream, beat } = await unread(uplink);
  sequence = 0;
  clock.advance(8_000);
  await beat();
  clock.advance(2_001);
  await events.seen("uplink.stalled");
  expect(await stream.text()).toBe("");
  expect((await beat()).status).toBe(200);
  uplink.close();
});

test("a gateway that is silent for as long as it takes to count as lost loses its session", async () => {
  const clock = manualClock();
  const events = eventLog();
  const uplink = bare(clock, 100, events.log);
  const { stream, beat } = await unread(uplink);
  clock.advance(101);
  await events.seen("uplink.silent");
  expect(await stream.text()).toBe("");
  await expect(beat()).rejects.toThrow("no session here");
  uplink.close();
});
