// What every adapter of LoadFeed has to do (HOUSE seam 5); each adapter's test calls this with its own way to open gateways.

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { LoadDelta, LoadFeed } from "../../zones/routing/types.ts";

export interface FeedParty {
  readonly feed: LoadFeed;
  readonly gateway: string;
  readonly epoch: number;
}

export interface FeedParties {
  /** Three gateways of the cell `local` that know of each other, and one of the cell `elsewhere`. */
  readonly here: readonly [FeedParty, FeedParty, FeedParty];
  readonly elsewhere: FeedParty;
  close(): Promise<void>;
}

export function loadFeedContract(name: string, open: () => Promise<FeedParties>): void {
  let parties: FeedParties;
  let sequence = 0;
  beforeAll(async () => {
    parties = await open();
  });
  afterAll(() => parties.close());

  const deltaOf = ({ gateway, epoch }: FeedParty, inFlight: Record<string, number>): LoadDelta => ({
    cell: "local",
    gateway,
    epoch,
    sequence: (sequence += 1),
    expiresInMs: 2_000,
    inFlight,
  });
  const next = (party: FeedParty, wanted: (delta: LoadDelta) => boolean = () => true) =>
    new Promise<LoadDelta>((resolve) => {
      const stop = party.feed.subscribe((delta) => {
        if (!wanted(delta)) return;
        stop();
        resolve(delta);
      });
    });

  test(`${name}: every other gateway hears a delta as it was, the one that told it does not`, async () => {
    const [first, second, third] = parties.here;
    const echoes: LoadDelta[] = [];
    const stop = first.feed.subscribe((delta) => void echoes.push(delta));
    const heard = Promise.all([next(second), next(third)]);
    const delta = deltaOf(first, { engine_a: 3, engine_b: 0 });
    first.feed.publish(delta);
    expect(await heard).toEqual([delta, delta]);
    const answer = deltaOf(second, { engine_a: 1 });
    const back = next(first, ({ gateway }) => gateway === second.gateway);
    second.feed.publish(answer);
    expect(await back).toEqual(answer);
    expect(echoes).toEqual([answer]);
    stop();
  });

  test(`${name}: of many deltas at once the newest arrives, in order`, async () => {
    const [first, second] = parties.here;
    const order: number[] = [];
    const stop = second.feed.subscribe((delta) => void order.push(delta.inFlight["n"] ?? -1));
    const last = next(second, ({ inFlight }) => inFlight["n"] === 50);
    for (let n = 1; n <= 50; n += 1) first.feed.publish(deltaOf(first, { n }));
    await last;
    stop();
    expect(order).toEqual(order.toSorted((left, right) => left - right));
  });

  test(`${name}: another cell's counts are never taken for ours`, async () => {
    const [first, second] = parties.here;
    const heard: LoadDelta[] = [];
    const stop = second.feed.subscribe((delta) => void heard.push(delta));
    parties.elsewhere.feed.publish({ ...deltaOf(parties.elsewhere, {}), cell: "elsewhere" });
    const ours = next(second, ({ cell }) => cell === "local");
    first.feed.publish(deltaOf(first, { engine_a: 2 }));
    await ours;
    stop();
    expect(
      heard.filter(
        ({ cell, gateway }) => cell === "local" && gateway === parties.elsewhere.gateway,
      ),
    ).toEqual([]);
  });

  test(`${name}: who unsubscribed hears nothing more`, async () => {
    const [first, second] = parties.here;
    const heard: LoadDelta[] = [];
    const stop = second.feed.subscribe((delta) => void heard.push(delta));
    stop();
    const arrived = next(second);
    first.feed.publish(deltaOf(first, { engine_a: 7 }));
    await arrived;
    expect(heard).toEqual([]);
  });
}
