// The contract of every LeaseSource (HOUSE seam 4): call it from a test file with a way to open the adapter over a given giver.
// Invariant: it knows the port and the giver's interface only, so that all adapters pass the same suite; it runs in real time.

import { afterEach, describe, expect, test } from "bun:test";
import { Fault } from "../../kit/fault.ts";
import type {
  LeaseAnswer,
  LeaseAsk,
  LeaseExchange,
  LeaseGiver,
  LeaseOpening,
  LeaseResource,
  LeaseSource,
} from "./types.ts";

export interface LeaseStage {
  readonly source: LeaseSource;
  readonly gateway: string;
  /** From here on nothing reaches the giver, and nothing comes back. */
  cut(): void | Promise<void>;
  mend(): void | Promise<void>;
  /** The gateway's process ends properly. */
  close(): Promise<void>;
}

const REQUESTS: LeaseResource = "requests:key:key_a";
const SPEND: LeaseResource = "spend:project:proj_a:2025-11";
const TEST_MAX_MS = 30_000;
/** More than any float holds exactly. */
const LARGE = 2n ** 80n + 1n;

const ask = (resource: LeaseResource, amount: bigint): LeaseAsk => ({
  resource,
  need: amount,
  want: amount,
});

/** Grants what is wanted, unless a test says otherwise, and remembers what it heard. */
function scriptedGiver() {
  const openings: LeaseOpening[] = [];
  const exchanges: LeaseExchange[] = [];
  const left: [string, number][] = [];
  const listeners: ((gateway: string, resources: readonly LeaseResource[]) => void)[] = [];
  let changed = Promise.withResolvers<void>();
  const change = () => {
    changed.resolve();
    changed = Promise.withResolvers<void>();
  };
  const script = {
    sharePpm: 0,
    answer: (exchange: LeaseExchange): LeaseAnswer | Promise<LeaseAnswer> => ({
      sharePpm: script.sharePpm,
      grants: exchange.takes.map(({ resource, want }) => ({
        resource,
        amount: want,
        termMs: 1_000,
        mode: "ample",
        retryAfterMs: 7,
      })),
    }),
  };
  let running = 0;
  let runningMost = 0;
  const giver: LeaseGiver = {
    open: async (opening) => {
      openings.push(opening);
      change();
    },
    exchange: async (exchange) => {
      exchanges.push(exchange);
      running += 1;
      runningMost = Math.max(runningMost, running);
      change();
      try {
        return await script.answer(exchange);
      } finally {
        running -= 1;
      }
    },
    leave: async (gateway, epoch) => {
      left.push([gateway, epoch]);
      change();
    },
    onRecall: (listener) => void listeners.push(listener),
    close: async () => {},
  };
  return {
    giver,
    script,
    openings,
    exchanges,
    left,
    runningMost: () => runningMost,
    recall: (gateway: string, resources: readonly LeaseResource[]) =>
      listeners.forEach((listener) => listener(gateway, resources)),
    until: async (isSo: () => boolean) => {
      while (!isSo()) await changed.promise;
    },
  };
}

/** The port tells nobody when this changes. */
async function untilConnected(source: LeaseSource, connected: boolean): Promise<void> {
  while (source.connected !== connected) await Bun.sleep(10);
}

export function leaseSourceContract(
  name: string,
  open: (giver: LeaseGiver) => Promise<LeaseStage>,
): void {
  describe(`${name} is a lease source`, () => {
    const opened: LeaseStage[] = [];
    afterEach(async () => {
      for (const stage of opened.splice(0)) await stage.close();
    });
    const begin = async () => {
      const scripted = scriptedGiver();
      const stage = await open(scripted.giver);
      opened.push(stage);
      await scripted.until(() => scripted.exchanges.length > 0);
      await untilConnected(stage.source, true);
      return { ...scripted, ...stage };
    };
    const gather = (exchanges: readonly LeaseExchange[], resource: LeaseResource) =>
      exchanges
        .flatMap(({ gives }) => gives)
        .filter((give) => give.resource === resource)
        .reduce((sum, { amount }) => sum + amount, 0n);

    test(
      "a new process opens a session that resumes nothing, and declares nothing",
      async () => {
        const { openings, exchanges, gateway } = await begin();
        expect(openings).toMatchObject([{ gateway, resumes: null }]);
        expect(exchanges[0]).toMatchObject({ gateway, sequence: 1, declares: [] });
        expect(exchanges[0]?.epoch).toBe(openings[0]?.epoch ?? -1);
      },
      TEST_MAX_MS,
    );

    test(
      "a take is answered in the order of its asks, with every digit",
      async () => {
        const { source, script } = await begin();
        const grants = await source.take([ask(REQUESTS, 5n), ask(SPEND, LARGE), ask(REQUESTS, 2n)]);
        expect(grants).toEqual(
          [5n, LARGE, 2n].map((amount, at) => ({
            resource: at === 1 ? SPEND : REQUESTS,
            amount,
            termMs: 1_000,
            mode: "ample",
            retryAfterMs: 7,
          })),
        );
        script.answer = ({ takes }) => ({
          sharePpm: 0,
          grants: takes.map(({ resource }) => ({
            resource,
            amount: 0n,
            termMs: 0,
            mode: "exhausted",
            retryAfterMs: 1_234,
          })),
        });
        expect(await source.take([ask(SPEND, 1n)])).toMatchObject([
          { amount: 0n, mode: "exhausted", retryAfterMs: 1_234 },
        ]);
      },
      TEST_MAX_MS,
    );

    test(
      "takes of many callers: never two exchanges at once, numbered without a gap, each answered with its own",
      async () => {
        const { source, exchanges, runningMost } = await begin();
        const amounts = Array.from({ length: 300 }, (_, at) => BigInt(at + 1));
        const grants = await Promise.all(
          amounts.map(async (amount) => {
            const [grant] = await source.take([ask(REQUESTS, amount)]);
            return grant?.amount;
          }),
        );
        expect(grants).toEqual(amounts);
        expect(runningMost()).toBe(1);
        expect(exchanges.map(({ sequence }) => sequence)).toEqual(exchanges.map((_, at) => at + 1));
        expect(exchanges.length).toBeLessThan(20);
      },
      TEST_MAX_MS,
    );

    test(
      "what is given arrives once, without being asked for",
      async () => {
        const { source, exchanges, until } = await begin();
        source.give([{ resource: REQUESTS, amount: 3n }]);
        source.give([
          { resource: REQUESTS, amount: 4n },
          { resource: SPEND, amount: LARGE },
        ]);
        await until(() => gather(exchanges, SPEND) > 0n);
        await source.take([ask(REQUESTS, 1n)]);
        expect(gather(exchanges, REQUESTS)).toBe(7n);
        expect(gather(exchanges, SPEND)).toBe(LARGE);
      },
      TEST_MAX_MS,
    );

    test(
      "it is heard from without being used, and says in the next exchange which part it was told",
      async () => {
        const { script, exchanges, until } = await begin();
        script.sharePpm = 1_000_000;
        const heard = exchanges.length;
        await until(() => exchanges.length >= heard + 2);
        expect(exchanges.at(-1)?.sharePpm).toBe(1_000_000);
      },
      TEST_MAX_MS,
    );

    test(
      "cut off: takes are rejected, soon it is not connected; the next session resumes, declares, and repeats no give",
      async () => {
        const { source, exchanges, openings, until, cut, mend } = await begin();
        const first = openings[0]?.epoch ?? 0;
        source.onSession(() => [{ resource: SPEND, amount: LARGE }]);
        await cut();
        source.give([{ resource: REQUESTS, amount: 3n }]);
        await expect(source.take([ask(REQUESTS, 1n)])).rejects.toThrow();
        await untilConnected(source, false);
        expect(source.offlinePpm()).toBe(0);
        const before = exchanges.length;
        await mend();
        await until(() => exchanges.length > before);
        await untilConnected(source, true);
        const opening = openings.at(-1);
        expect(opening?.resumes).toBeGreaterThanOrEqual(first);
        expect(opening?.epoch).toBeGreaterThan(first);
        const begun = exchanges.find(({ epoch }) => epoch === opening?.epoch);
        expect(begun).toMatchObject({
          sequence: 1,
          declares: [{ resource: SPEND, amount: LARGE }],
        });
        expect(await source.take([ask(REQUESTS, 2n)])).toMatchObject([{ amount: 2n }]);
        const own = exchanges.filter(({ epoch }) => epoch === opening?.epoch);
        expect(own.slice(1).every(({ declares }) => declares.length === 0)).toBe(true);
        expect(gather(own, REQUESTS)).toBe(0n);
      },
      TEST_MAX_MS,
    );

    test(
      "an answer of a session that was broken reaches nobody",
      async () => {
        const { source, script, exchanges, openings, until, cut, mend } = await begin();
        const usual = script.answer;
        const late = Promise.withResolvers<void>();
        script.answer = async (exchange) => {
          if (exchange.takes.length > 0) await late.promise;
          return usual(exchange);
        };
        const take = source.take([ask(REQUESTS, 9n)]);
        const rejected = expect(take).rejects.toThrow();
        await until(() => exchanges.some(({ takes }) => takes.length > 0));
        await cut();
        await rejected;
        script.answer = usual;
        await mend();
        await until(() => openings.length > 1 && exchanges.at(-1)?.sequence === 1);
        late.resolve();
        expect(await source.take([ask(REQUESTS, 2n)])).toMatchObject([{ amount: 2n }]);
      },
      TEST_MAX_MS,
    );

    test(
      "fenced: a new session begins by itself",
      async () => {
        const { source, script, openings, until } = await begin();
        const usual = script.answer;
        script.answer = () => {
          script.answer = usual;
          throw new Fault("uplink.fenced", { message: "this session is over" });
        };
        await source.take([ask(REQUESTS, 1n)]).catch(() => {});
        await until(() => openings.length > 1);
        await untilConnected(source, true);
        expect(await source.take([ask(REQUESTS, 2n)])).toMatchObject([{ amount: 2n }]);
      },
      TEST_MAX_MS,
    );

    test(
      "a recall of this gateway is heard, one of another is not",
      async () => {
        const { source, recall, gateway } = await begin();
        const heard = Promise.withResolvers<readonly LeaseResource[]>();
        source.onRecall(heard.resolve);
        recall("gw_another", [SPEND]);
        recall(gateway, [REQUESTS]);
        expect(await heard.promise).toEqual([REQUESTS]);
      },
      TEST_MAX_MS,
    );

    test(
      "a proper end: what was given last arrives, then goodbye",
      async () => {
        const { source, close, left, exchanges, gateway, openings } = await begin();
        source.give([{ resource: REQUESTS, amount: 3n }]);
        await close();
        expect(gather(exchanges, REQUESTS)).toBe(3n);
        expect(left).toEqual([[gateway, openings.at(-1)?.epoch ?? -1]]);
      },
      TEST_MAX_MS,
    );
  });
}
