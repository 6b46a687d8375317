import { expect, test } from "bun:test";
import fc from "fast-check";
import { openStanding } from "./standing.state.ts";

const lostMs = 6_000;
const shareMs = 60_000;

/** Control's clockwork: a session counts as alive from the answer that its newest exchange confirmed. */
function openGiver() {
  let aliveAtMs = 0;
  let answeredAtMs = 0;
  return {
    open: (atMs: number) => void ([aliveAtMs, answeredAtMs] = [atMs, atMs]),
    hear: (atMs: number, answerMs: number) => {
      aliveAtMs = answeredAtMs;
      answeredAtMs = atMs + answerMs;
    },
    silentMs: (nowMs: number) => nowMs - aliveAtMs,
  };
}

const delay = fc.integer({ min: 0, max: 3_000 });
const exchange = fc.record({
  up: delay,
  work: delay,
  down: delay,
  lost: fc.boolean(),
  rest: delay,
});

test("connected: control has not given us up; offline with a part: it has, and keeps it aside", () => {
  fc.assert(
    fc.property(delay, delay, fc.array(exchange, { maxLength: 12 }), (up, down, exchanges) => {
      const giver = openGiver();
      const standing = openStanding();
      let nowMs = up;
      giver.open(nowMs);
      nowMs += down;
      standing.begin({ askedAtMs: 0, lostMs, shareMs }, nowMs);
      const check = () => {
        const silentMs = giver.silentMs(nowMs);
        if (standing.isConnected(nowMs)) expect(silentMs).toBeLessThan(lostMs / 2);
        if (standing.offlinePpm(nowMs) > 0) {
          expect(silentMs).toBeGreaterThan(lostMs);
          expect(silentMs).toBeLessThan(shareMs);
        }
      };
      for (const { up: toControl, work, down: back, lost, rest } of exchanges) {
        const sentAtMs = nowMs;
        check();
        nowMs += toControl;
        if (giver.silentMs(nowMs) > lostMs) return;
        giver.hear(nowMs, work);
        nowMs += work + back;
        if (lost) break;
        standing.answered(1_000_000, sentAtMs, nowMs);
        check();
        nowMs += rest;
      }
      for (let step = 0; step < 200; step += 1, nowMs += 500) check();
    }),
    { numRuns: 2_000 },
  );
});

test("cut off for good: connected, then neither, then offline with its part, then nothing", () => {
  const standing = openStanding();
  standing.begin({ askedAtMs: 0, lostMs, shareMs }, 10);
  standing.answered(400_000, 20, 30);
  standing.answered(500_000, 1_000, 1_010);
  const at = (nowMs: number) => [standing.isConnected(nowMs), standing.offlinePpm(nowMs)];
  expect(at(1_020)).toEqual([true, 0]);
  expect(at(3_100)).toEqual([false, 0]);
  expect(at(7_000)).toEqual([false, 0]);
  expect(at(7_700)).toEqual([false, 500_000]);
  expect(at(56_000)).toEqual([false, 500_000]);
  expect(at(57_100)).toEqual([false, 0]);
  expect(standing.sharePpm(57_100)).toBe(0);
});

test("a new session is no answer: the part still runs out by the old one's time, and is not used meanwhile", () => {
  const standing = openStanding();
  standing.begin({ askedAtMs: 0, lostMs, shareMs }, 0);
  standing.answered(500_000, 10, 10);
  standing.begin({ askedAtMs: 50_000, lostMs, shareMs }, 50_100);
  expect(standing.isConnected(50_200)).toBe(true);
  expect([standing.offlinePpm(50_200), standing.sharePpm(50_200)]).toEqual([0, 500_000]);
  expect([standing.offlinePpm(58_000), standing.sharePpm(58_000)]).toEqual([0, 0]);
});
