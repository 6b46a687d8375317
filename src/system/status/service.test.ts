import { expect, test } from "bun:test";
import type { Principal } from "../../http/types.ts";
import { manualClock } from "../../kit/clock.ts";
import { asId } from "../../kit/id.ts";
import { judgeExposure, judgeGateway } from "./rules.ts";
import { statusRoutes } from "./routes.ts";
import { createStatusService } from "./service.ts";
import { Checklist, SystemInfo, type ChecklistEvents } from "./types.ts";

const clock = manualClock();
const now = () => new Date(clock.nowMs());
const principal: Principal = {
  firmId: asId("firm_1"),
  organisationId: asId("org_1"),
  projectId: asId("proj_1"),
  keyId: asId("key_1"),
  role: "owner",
  permissions: new Set(["system.read"]),
  via: "session",
};
const nothing: ChecklistEvents = {
  signedInAt: null,
  firstCallAt: null,
  upstreamAddedAt: null,
  keyMadeAt: null,
};

const serviceWith = (events: ChecklistEvents) =>
  createStatusService({
    setting: {
      version: "0.1.0",
      apiBaseUrl: "http://localhost:4100/v1",
      host: "127.0.0.1",
      tls: false,
      behindProxy: false,
      startedAt: now(),
    },
    clock,
    events: async () => events,
    gateways: async () => [
      {
        id: "gw_1",
        epoch: 2,
        cell: "local",
        address: "http://127.0.0.1:4100",
        productVersion: "0.1.0",
        openedAt: now(),
        seenAt: now(),
      },
    ],
    migrations: async () => ({ applied: ["0001_identity_orgs"], pending: [] }),
    snapshot: async () => undefined,
  });

test("each item ticks from its own event and says when", async () => {
  const at = now();
  const fresh = await serviceWith(nothing).checklist(principal);
  expect(fresh.items.map((item) => item.done)).toEqual([false, false, false, false]);
  const called = await serviceWith({ ...nothing, firstCallAt: at }).checklist(principal);
  expect(called.items.find((item) => item.id === "first-call")).toEqual({
    id: "first-call",
    done: true,
    at: at.toISOString(),
  });
  expect(called.items.filter((item) => item.done)).toHaveLength(1);
});

test("200: both routes answer what their schemas say", async () => {
  const [checklist, system] = statusRoutes(serviceWith(nothing));
  const context = { principal, requestId: "r" };
  const input = { params: {}, query: {}, body: undefined };
  expect(Checklist.safeParse(await checklist?.run(context, input)).success).toBe(true);
  const info = SystemInfo.parse(await system?.run(context, input));
  expect(info.gateways[0]?.state).toBe("up");
  expect(info.snapshot).toBeNull();
});

test("a silent gateway is late, then gone", () => {
  expect(judgeGateway(0, 5_000)).toBe("up");
  expect(judgeGateway(0, 5_001)).toBe("late");
  expect(judgeGateway(0, 60_001)).toBe("gone");
});

test("exposure names TLS, then the proxy, then loopback", () => {
  expect(judgeExposure({ host: "127.0.0.1", tls: false, behindProxy: false }).kind).toBe(
    "loopback",
  );
  expect(judgeExposure({ host: "0.0.0.0", tls: true, behindProxy: true }).kind).toBe("tls");
  expect(judgeExposure({ host: "0.0.0.0", tls: false, behindProxy: true }).kind).toBe(
    "behind-proxy",
  );
});
