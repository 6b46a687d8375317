import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { scanFrames } from "../../src/billing/metering/frames.rules.ts";
import { decodeRecord } from "../../src/billing/metering/rules.ts";
import { decodeSegment } from "../../src/billing/metering/segment.rules.ts";
import { openJournal } from "../../src/gateway/journal/journal.ts";
import { systemClock } from "../../src/kit/clock.ts";
import { realFiles } from "../../src/kit/file-port.ts";
import { silentLog } from "../../src/kit/log.ts";
import { tokenOf, until } from "../fakes/gateway.ts";
import { closeAfterEach, gateway, later, readText, upstream } from "../fakes/stage.ts";
import { answers, DONE, eventText, silent, usageText } from "../fakes/upstream.ts";
import { openWire, requestText } from "../fakes/wire.ts";

closeAfterEach();

const BEARER = `authorization: Bearer ${tokenOf("live")}`;
const BODY = '{"model":"small","messages":[{"role":"user","content":"x"}]}';
const request = requestText("/v1/chat/completions", [BEARER], BODY);

async function journalIn() {
  const folder = mkdtempSync(join(tmpdir(), "drain-"));
  later(() => rmSync(folder, { recursive: true, force: true }));
  const journal = await openJournal({
    folder,
    gateway: "gw_00000000000000000000000000",
    lane: 0,
    epoch: 1,
    files: realFiles,
    clock: systemClock,
    log: silentLog,
  });
  return { folder, journal };
}

/** `type status` of each record in the sealed segments. */
function recordsIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".segment"))
    .sort()
    .flatMap((name) => scanFrames(decodeSegment(readFileSync(join(folder, name))).frames).payloads)
    .map(decodeRecord)
    .map((record) => (record.type === "settle" ? `settle ${record.fact.status}` : record.type));
}

test("open streams finish within the cap, new requests are refused, and the journal holds all of it", async () => {
  const goOn = Promise.withResolvers<void>();
  const up = await upstream(async (reply, heard) => {
    if (!heard.body.includes('"stream":true')) return answers()(reply, heard);
    reply.head();
    await reply.chunk(eventText("one"));
    await goOn.promise;
    await reply.chunk(eventText(" two") + usageText() + DONE);
    reply.end();
  });
  const { folder, journal } = await journalIn();
  const gate = gateway([up], { deps: { journal } });
  const kept = openWire(gate.server.port, request);
  await kept.until("chatcmpl-1");
  const begun = Promise.withResolvers<void>();
  const stream = readText(await gate.chat({ stream: true }), () => begun.resolve());
  await begun.promise;

  const drained = gate.server.drain(10_000);
  // Idle connections are closed, so that their owners go elsewhere; new ones are not taken.
  await kept.closed;
  await expect(gate.chat()).rejects.toThrow();
  expect(up.heard.length).toBe(2);

  goOn.resolve();
  expect(await stream).toBe(eventText("one") + eventText(" two") + DONE);
  await drained;
  await journal.close();
  expect(recordsIn(folder)).toEqual(["intent", "settle ok", "intent", "settle ok"]);
});

test("503: a request that comes while the gateway stops", async () => {
  const up = await upstream(silent);
  const gate = gateway([up]);
  // Its head is there before the drain, its path decides after it: the race that a real stop has.
  const half = openWire(gate.server.port, request.slice(0, 60));
  const other = gate.chat().then(String, () => "cut");
  await until(() => up.heard.length === 1);
  const drained = gate.server.drain(500);
  half.socket.write(request.slice(60));
  expect(await half.until("service.draining")).toStartWith("HTTP/1.1 503 ");
  await Promise.all([drained, other]);
  expect(up.heard.length).toBe(1);
});

test("streams that outlive the cap are told so, settled as interrupted, and their upstream let go", async () => {
  let hungUp = 0;
  const up = await upstream(async (reply) => {
    reply.head();
    await reply.chunk(eventText("one"));
    await reply.closed;
    hungUp += 1;
  });
  const { folder, journal } = await journalIn();
  const gate = gateway([up], { deps: { journal } });
  const streamed = requestText("/v1/chat/completions", [BEARER], `{"stream":true,${BODY.slice(1)}`);
  const wires = Array.from({ length: 3 }, () => openWire(gate.server.port, streamed));
  await Promise.all(wires.map((wire) => wire.until('"one"')));
  await gate.server.drain(50);
  await journal.close();
  for (const wire of wires) {
    await wire.closed;
    expect(wire.text()).toContain('"code":"service.draining"');
    expect(wire.text()).not.toContain("[DONE]");
  }
  await until(() => hungUp === 3);
  const records = recordsIn(folder).filter((record) => record !== "progress");
  expect(records.filter((record) => record === "intent").length).toBe(3);
  expect(records.filter((record) => record === "settle interrupted").length).toBe(3);
  expect(gate.load.own()).toEqual({});
});

test("a whole answer that outlives the cap is cut off and settled once, with nothing billed", async () => {
  const up = await upstream(silent);
  const { folder, journal } = await journalIn();
  const gate = gateway([up], { deps: { journal } });
  const cut = gate.chat().then(String, () => "cut");
  await until(() => up.heard.length === 1);
  await gate.server.drain(50);
  expect(await cut).toBe("cut");
  await journal.close();
  expect(recordsIn(folder)).toEqual(["intent", "settle caller_left"]);
  expect(gate.load.own()).toEqual({});
});
