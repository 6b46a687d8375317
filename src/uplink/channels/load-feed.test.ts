import { expect, test } from "bun:test";
import { openTestDatabase } from "../../db/test-database.ts";
import { manualClock } from "../../kit/clock.ts";
import { newGateway, openControl } from "../../../test/uplink/control.ts";
import { openGateway } from "../../../test/uplink/gateway.ts";
import type { LoadDelta } from "../../zones/routing/types.ts";
import { loadFeedContract, type FeedParty } from "./load-feed.contract.ts";
import { openLoadHub } from "./load-feed.memory.ts";
import { openLoadPublisher } from "./load-publisher.ts";

loadFeedContract("in memory", async () => {
  const hub = openLoadHub();
  const elsewhere = openLoadHub();
  const party = (of = hub): FeedParty => ({ feed: of.join(), gateway: newGateway(), epoch: 1 });
  return {
    here: [party(), party(), party()],
    elsewhere: party(elsewhere),
    close: async () => {},
  };
});

loadFeedContract("over the uplink", async () => {
  const database = await openTestDatabase();
  const control = await openControl(database);
  const gates = await Promise.all(
    ["local", "local", "local", "elsewhere"].map((cell) => openGateway(control.url, { cell })),
  );
  for (const gate of gates) {
    await gate.uplink.opened(5_000);
    if (gate !== gates[3])
      while (gate.uplink.status().peers !== 2)
        await gate.events.seen("uplink.peers", gate.events.count("uplink.peers") + 1);
  }
  const party = (index: number): FeedParty => {
    const gate = gates[index];
    if (!gate) throw new Error("no such gateway");
    return { feed: gate.uplink.feed, gateway: gate.gateway, epoch: gate.uplink.status().epoch };
  };
  return {
    here: [party(0), party(1), party(2)],
    elsewhere: party(3),
    close: async () => {
      for (const gate of gates) await gate.stop();
      await control.close();
      await database.close();
    },
  };
});

test("a publisher speaks when counts change, again before they expire, and not while idle", () => {
  const clock = manualClock();
  const said: LoadDelta[] = [];
  let own: Record<string, number> = {};
  const publisher = openLoadPublisher({
    feed: { publish: (delta) => void said.push(delta) },
    own: () => own,
    cell: "local",
    gateway: newGateway(),
    epoch: () => 3,
    clock,
  });
  publisher.close();
  const tick = (ms: number, counts = own) => {
    clock.advance(ms);
    own = counts;
    publisher.tick();
    return said.splice(0).map(({ inFlight, sequence }) => [inFlight, sequence]);
  };
  expect(tick(5_000)).toEqual([]);
  expect(tick(100, { engine_a: 1 })).toEqual([[{ engine_a: 1 }, 1]]);
  expect(tick(100)).toEqual([]);
  expect(tick(900)).toEqual([[{ engine_a: 1 }, 2]]);
  expect(tick(100, {})).toEqual([[{}, 3]]);
  expect(tick(60_000)).toEqual([]);
});
