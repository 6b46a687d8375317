import { systemClock } from "../../kit/clock.ts";
import { openInProcessSource } from "./in-process.source.ts";
import { leaseSourceContract } from "./lease-source.contract.ts";
import type { LeaseAnswer, LeaseExchange } from "./types.ts";

leaseSourceContract("the in-process source", async (giver) => {
  let [isCut, epoch] = [false, 0];
  const away = () => Promise.reject<never>(new Error("cut off"));
  const exchange = async (sent: LeaseExchange): Promise<LeaseAnswer> => {
    if (isCut) return away();
    const answer = await giver.exchange(sent);
    // What was under way when the line broke never arrives.
    return isCut ? away() : answer;
  };
  const gateway = "gw_a";
  const source = openInProcessSource({
    giver: {
      ...giver,
      exchange,
      open: (opening) => (isCut ? away() : giver.open(opening)),
      leave: (...args) => (isCut ? away() : giver.leave(...args)),
    },
    gateway,
    nextEpoch: () => (epoch += 1),
    recoveredUpTo: 0,
    terms: { windowTermMs: 90_000, lostMs: 1_000, shareMs: 90_000 },
    clock: systemClock,
    timers: {
      after: (ms, work) => {
        const timer = setTimeout(work, ms);
        return () => clearTimeout(timer);
      },
    },
  });
  return {
    source,
    gateway,
    cut: () => void (isCut = true),
    mend: () => void (isCut = false),
    close: () => source.close(),
  };
});
