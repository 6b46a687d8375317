// For tests of the giver: one on a clock moved by hand, and two gateways' bare ends of the exchange.
// Invariant: nothing is retried or declared that a test did not say.

import { manualClock } from "../../kit/clock.ts";
import { silentLog } from "../../kit/log.ts";
import { openLeaseGiver, type LeaseGiverDeps } from "./service.ts";
import type { LeaseGive, LeaseGiver, LeaseResource, SeenGateway } from "./types.ts";

export const REQUESTS: LeaseResource = "requests:key:key_a";
export const STREAMS: LeaseResource = "streams:key:key_a";
export const SPEND: LeaseResource = "spend:project:proj_a:2025-11";
const TERMS = { windowTermMs: 90_000, lostMs: 6_000, shareMs: 90_000 };
export const LAPSE_MS = 6_000 + 90_000 + 60_000;

export type InTransaction = LeaseGiverDeps["inTransaction"];

export const seenNow = (gateway: string): SeenGateway => ({
  gateway,
  agoMs: 0,
  left: false,
  predecessorAgoMs: null,
});

/** A gateway's end of the exchange, bare. */
function gatewayOf(giver: () => LeaseGiver, gateway: string) {
  let [epoch, sequence, sharePpm] = [0, 0, 0];
  let declared: readonly LeaseGive[] = [];
  const exchange = async (
    takes: [LeaseResource, number, number?][] = [],
    gives: [LeaseResource, number][] = [],
  ) => {
    sequence += 1;
    const answer = await giver().exchange({
      gateway,
      epoch,
      sequence,
      sharePpm,
      declares: sequence === 1 ? declared : [],
      takes: takes.map(([resource, need, want = need]) => ({
        resource,
        need: BigInt(need),
        want: BigInt(want),
      })),
      gives: gives.map(([resource, amount]) => ({ resource, amount: BigInt(amount) })),
    });
    sharePpm = answer.sharePpm;
    return answer.grants;
  };
  return {
    exchange,
    open: (next: number, resumes: number | null = null, declares: readonly LeaseGive[] = []) => {
      [epoch, sequence, declared] = [next, 0, declares];
      if (resumes === null) sharePpm = 0;
      return giver().open({ gateway, epoch, resumes, recoveredUpTo: 7 });
    },
    take: async (resource: LeaseResource, need: number, want?: number) =>
      Number((await exchange([[resource, need, want ?? need]]))[0]?.amount),
    give: (resource: LeaseResource, amount: number) => exchange([], [[resource, amount]]),
    jump: () => void (sequence += 1),
    leave: () => giver().leave(gateway, epoch),
    get sharePpm() {
      return sharePpm;
    },
  };
}

/** `limits` may be changed while it runs. */
export async function openStage(
  inTransaction: InTransaction,
  limits: Partial<Record<LeaseResource, bigint | null>>,
) {
  const clock = manualClock();
  const recalled: [string, LeaseResource][] = [];
  const deps = {
    inTransaction,
    limitOf: (resource: LeaseResource) => limits[resource],
    clock,
    log: silentLog,
    terms: TERMS,
  };
  const listen = (giver: LeaseGiver) => {
    giver.onRecall((gateway, resources) =>
      recalled.push(...resources.map((each): [string, LeaseResource] => [gateway, each])),
    );
    return giver;
  };
  let giver = listen(await openLeaseGiver(deps, []));
  return {
    clock,
    limits,
    recalled,
    a: gatewayOf(() => giver, "gw_a"),
    b: gatewayOf(() => giver, "gw_b"),
    /** Without goodbye: control was killed. */
    crash: async (seen: readonly SeenGateway[]) => {
      giver = listen(await openLeaseGiver(deps, seen));
    },
    restart: async (seen: readonly SeenGateway[] = []) => {
      await giver.close();
      giver = listen(await openLeaseGiver(deps, seen));
    },
  };
}
