import { expect, test } from "bun:test";
import { openGatewayProcess, type Report } from "../fakes/gateway.process.ts";
import { tokenOf, until } from "../fakes/gateway.ts";
import { closeAfterEach, later, upstream } from "../fakes/stage.ts";
import { answers, eventText } from "../fakes/upstream.ts";
import { openWire, requestText } from "../fakes/wire.ts";

closeAfterEach();

const CHAT = "/v1/chat/completions";
const CALLERS = 200;
const BEARER = `authorization: Bearer ${tokenOf("live")}`;
const STREAM = '{"model":"small","stream":true,"messages":[{"role":"user","content":"x"}]}';
const request = requestText(CHAT, [BEARER], STREAM);

/** What the runtime's fetch may hold of one flood that nobody takes: two receives of 512 KB, and their room to grow. */
const STREAM_MB_MAX = 3;

/** A report from when a count has stopped. */
async function still(count: () => number, ask: () => Promise<Report>): Promise<Report> {
  for (;;) {
    const before = count();
    await Bun.sleep(500);
    if (before === count()) return ask();
  }
}

async function process(url: string, limits: object) {
  const opened = await openGatewayProcess([url], { limits });
  later(() => opened.close());
  return opened;
}

/** Asks until it holds. */
async function reported(
  ask: () => Promise<Report>,
  holds: (report: Report) => boolean,
  withinMs: number,
): Promise<Report> {
  const end = performance.now() + withinMs;
  for (;;) {
    const report = await ask();
    if (holds(report)) return report;
    if (performance.now() > end) throw new Error(`not in time: ${JSON.stringify(report)}`);
    await Bun.sleep(50);
  }
}

const EVENTS = eventText("word ".repeat(1_600)).repeat(32);
const CHUNK = Buffer.from(`${EVENTS.length.toString(16)}\r\n${EVENTS}\r\n`);

/** An upstream that never ends, of which we know what it could send and how many hung up. */
async function endlessUpstream() {
  const seen = { sent: 0, hungUp: 0, open: 0 };
  const up = await upstream(async ({ head, socket, closed }) => {
    seen.open += 1;
    head();
    const write = () => {
      while (!socket.destroyed && socket.write(CHUNK)) seen.sent += CHUNK.length;
    };
    socket.on("drain", write);
    write();
    await closed;
    seen.hungUp += 1;
  });
  return { up, seen };
}

test(`${CALLERS} callers who stop reading: memory is bounded, the upstream held back, then let go`, async () => {
  const { up, seen } = await endlessUpstream();
  const gate = await process(up.url, { callerTimeoutMs: 20_000, drainMs: 100, idleMs: 4_000 });
  const before = (await gate.report()).residentMb;
  const wires = Array.from({ length: CALLERS }, () => {
    const wire = openWire(gate.port, request);
    // One piece is read, so that the stream has begun; then nothing more.
    wire.socket.once("data", () => wire.socket.pause());
    return wire;
  });
  await until(() => seen.open === CALLERS, 20_000);
  const first = await still(() => seen.sent, gate.report);
  expect(first.openStreams).toBe(CALLERS);
  expect(first.residentMb - before).toBeLessThan(CALLERS * STREAM_MB_MAX);

  const after = await reported(gate.report, (report) => report.openStreams === 0, 30_000);
  expect(after.settled).toEqual({ caller_left: CALLERS });
  await until(() => seen.hungUp === CALLERS, 5_000);
  expect(after.residentMb - first.residentMb).toBeLessThan(20);
  for (const wire of wires) wire.socket.resume();
  await Promise.all(wires.map((wire) => wire.closed));
}, 60_000);

test("2,000 callers who leave in the middle: nothing stays behind", async () => {
  let hungUp = 0;
  const up = await upstream(async (reply) => {
    reply.head();
    await reply.chunk(eventText("word"));
    await reply.closed;
    hungUp += 1;
  });
  const gate = await process(up.url, { drainMs: 20 });
  const leave = async () => {
    const wire = openWire(gate.port, request);
    await wire.until("word");
    wire.socket.destroy();
  };
  const wave = async (count: number) => {
    for (let done = 0; done < count; done += 50)
      await Promise.all(Array.from({ length: 50 }, leave));
    return reported(gate.report, (report) => report.openStreams === 0, 10_000);
  };
  const early = await wave(500);
  const late = await wave(1_500);
  expect(late.settled).toEqual({ caller_left: 2_000 });
  await until(() => hungUp === 2_000, 5_000);
  expect(late.residentMb).toBeLessThan(120);
  expect(late.residentMb - early.residentMb).toBeLessThan(40);
}, 60_000);

/** One byte now and then, until the other side has enough of it. */
async function drip(
  port: number,
  first: string,
  rest: string,
): Promise<{ ms: number; text: string }> {
  const wire = openWire(port, first);
  let at = 0;
  const timer = setInterval(() => wire.socket.write(rest.charAt((at += 1))), 250);
  const ms = await wire.closed;
  clearInterval(timer);
  return { ms, text: wire.text() };
}

test("slow-loris: heads, bodies and idle connections are closed by deadlines", async () => {
  const up = await upstream(answers());
  const gate = await process(up.url, { idleMs: 4_000, bodyTimeoutMs: 2_000 });
  const whole = requestText(CHAT, [BEARER], STREAM.replace("true", "false"));
  const half = requestText(CHAT, [BEARER, "content-length: 5000"], "{");
  const long = "a".repeat(5_000);
  const [silent, head, second, body, idle] = await Promise.all([
    drip(gate.port, "", ""),
    drip(gate.port, `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nx-a: `, long),
    drip(gate.port, whole, `POST ${CHAT} HTTP/1.1\r\nhost: x\r\nx-a: ${long}`),
    drip(gate.port, half, long),
    drip(gate.port, whole, ""),
  ]);
  for (const { ms } of [silent, head, second]) expect(ms).toBeLessThan(17_000);
  for (const { ms } of [body, idle]) expect(ms).toBeLessThan(11_000);
  expect(body.text).toStartWith("HTTP/1.1 408 ");
  expect(body.text).toContain("request.timeout");
  expect(idle.text).toStartWith("HTTP/1.1 200 ");
  expect(up.heard.length).toBe(2);
  expect((await gate.report()).settled).toEqual({ ok: 2 });
}, 40_000);
