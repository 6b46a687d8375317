// The start page's checklist and the system page, put together from injected reads of other rooms.

import type { Clock } from "../../kit/clock.ts";
import type { OrganisationId } from "../../kit/id.ts";
import type { Principal } from "../../http/types.ts";
import { judgeChecklist, judgeExposure, judgeGateway } from "./rules.ts";
import type { Checklist, ChecklistEvents, GatewaySeen, Setting, SystemInfo } from "./types.ts";

export interface StatusDeps {
  readonly setting: Setting;
  readonly clock: Pick<Clock, "nowMs">;
  readonly events: (organisationId: OrganisationId) => Promise<ChecklistEvents>;
  readonly gateways: () => Promise<readonly GatewaySeen[]>;
  readonly migrations: () => Promise<{ applied: readonly string[]; pending: readonly string[] }>;
  readonly snapshot: () => Promise<{ sequence: number; compiledAt: Date } | undefined>;
}

export interface StatusService {
  checklist(principal: Principal): Promise<Checklist>;
  system(): Promise<SystemInfo>;
}

export function createStatusService(deps: StatusDeps): StatusService {
  return {
    checklist: async (principal) => ({
      items: judgeChecklist(await deps.events(principal.organisationId)),
      apiBaseUrl: deps.setting.apiBaseUrl,
    }),
    system: () => readSystem(deps),
  };
}

async function readSystem(deps: StatusDeps): Promise<SystemInfo> {
  const [gateways, migrations, snapshot] = await Promise.all([
    deps.gateways(),
    deps.migrations(),
    deps.snapshot(),
  ]);
  const nowMs = deps.clock.nowMs();
  const { setting } = deps;
  return {
    version: setting.version,
    startedAt: setting.startedAt.toISOString(),
    apiBaseUrl: setting.apiBaseUrl,
    exposure: { host: setting.host, ...judgeExposure(setting) },
    migrations: { applied: [...migrations.applied], pending: [...migrations.pending] },
    snapshot: snapshot
      ? { sequence: snapshot.sequence, compiledAt: snapshot.compiledAt.toISOString() }
      : null,
    gateways: gateways.map((gateway) => ({
      ...gateway,
      openedAt: gateway.openedAt.toISOString(),
      seenAt: gateway.seenAt.toISOString(),
      state: judgeGateway(gateway.seenAt.getTime(), nowMs),
    })),
  };
}
