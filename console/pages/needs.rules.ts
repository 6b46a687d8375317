// What somebody should look at now, worst first, each with the page that mends it. Pure: the instant comes as an argument.

import type { Key, Model, Project, SystemInfo, Usage, Zone } from "../api.types.ts";
import { money, share, toPico } from "../format.ts";

export interface Need {
  readonly tone: "bad" | "warn";
  readonly text: string;
  readonly action: string;
  readonly to: "/zones" | "/prices" | "/projects" | "/keys" | "/system";
  readonly search?: { readonly add: true; readonly model: string };
}

/** What was not read, or may not be read by this role, is left out. */
export interface Facts {
  readonly zones?: readonly Zone[] | undefined;
  readonly models?: readonly Model[] | undefined;
  readonly projects?: readonly Project[] | undefined;
  /** This month's, by project. */
  readonly usage?: Usage | undefined;
  readonly keys?: readonly Key[] | undefined;
  readonly gateways?: SystemInfo["gateways"] | undefined;
}

const NEARLY = 0.8;
const SOON_MS = 7 * 86_400_000;

export function needsOf(facts: Facts, nowMs: number): Need[] {
  const needs = [
    ...enginesDown(facts.zones ?? []),
    ...gatewaysLate(facts.gateways ?? []),
    ...budgets(facts.projects ?? [], facts.usage),
    ...unpriced(facts.models ?? []),
    ...keysEnding(facts.keys ?? [], nowMs),
  ];
  return needs.sort((a, b) => Number(a.tone === "warn") - Number(b.tone === "warn"));
}

function enginesDown(zones: readonly Zone[]): Need[] {
  return zones.flatMap((zone) =>
    zone.pools
      .flatMap((pool) => pool.engines)
      .filter((engine) => engine.enabled && engine.state === "down")
      .map((engine) => ({
        tone: "bad",
        text: `${engine.name} in ${zone.name} is down${engine.probe ? `: ${engine.probe.detail}` : ""}`,
        action: "Zones",
        to: "/zones",
      })),
  );
}

function gatewaysLate(gateways: SystemInfo["gateways"]): Need[] {
  const late = gateways.filter((gateway) => gateway.state === "late").length;
  if (late === 0) return [];
  const text = late === 1 ? "One gateway is" : `${late} gateways are`;
  return [{ tone: "warn", text: `${text} late to report`, action: "System", to: "/system" }];
}

function budgets(projects: readonly Project[], usage: Usage | undefined): Need[] {
  return projects.flatMap((project): Need[] => {
    const limit = project.monthlySpendLimit;
    const spent = usage?.rows.find((row) => row.group === project.id)?.amount;
    if (limit === null || spent === undefined) return [];
    const [used, all] = [Number(toPico(spent)), Number(toPico(limit))];
    if (used < all * NEARLY) return [];
    return [
      {
        tone: used >= all ? "bad" : "warn",
        text: `${project.name} has spent ${share(used, all)} of its ${money(limit)} this month`,
        action: "Change limits",
        to: "/projects",
      },
    ];
  });
}

function unpriced(models: readonly Model[]): Need[] {
  const names = models.filter((model) => !model.priced).map((model) => model.name);
  const [first, ...others] = names;
  if (first === undefined) return [];
  const text =
    others.length === 0
      ? `${first} has no price, so calls are refused`
      : `${names.length} models have no price, so calls are refused: ${first}, ${others[0]}${others.length > 1 ? ", …" : ""}`;
  return [
    {
      tone: "warn",
      text,
      action: "Set a price",
      to: "/prices",
      search: { add: true, model: first },
    },
  ];
}

function keysEnding(keys: readonly Key[], nowMs: number): Need[] {
  return keys
    .filter(({ revokedAt, expiresAt, kind }) => {
      const leftMs = expiresAt === null ? Infinity : Date.parse(expiresAt) - nowMs;
      return kind !== "play" && revokedAt === null && leftMs > 0 && leftMs < SOON_MS;
    })
    .map((key) => ({
      tone: "warn",
      text: `Key ${key.name} ends within a week`,
      action: "Keys",
      to: "/keys",
    }));
}
