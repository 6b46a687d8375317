// The strip that says what needs somebody now; when nothing does, it takes no room.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { queries } from "../api.ts";
import { useMay } from "../app/access.ts";
import { monthOf } from "../days.ts";
import { Badge } from "../ui/controls.tsx";
import { needsOf, type Need } from "./needs.rules.ts";

const LIVE_MS = 10_000;
/** Beyond these the reader is better served by the pages themselves. */
const SHOWN_MAX = 4;

export function Needs() {
  const needs = useNeeds();
  if (needs.length === 0) return null;
  return (
    <section className="needs" aria-label="Needs you">
      <ul>
        {needs.slice(0, SHOWN_MAX).map((need) => (
          <li key={need.text}>
            <Badge tone={need.tone}>{need.text}</Badge>
            <Link to={need.to} search={need.search ?? {}}>
              {need.action}
            </Link>
          </li>
        ))}
      </ul>
      {needs.length > SHOWN_MAX ? (
        <p className="minor">and {needs.length - SHOWN_MAX} more</p>
      ) : null}
    </section>
  );
}

function useNeeds(): Need[] {
  const [from, to] = monthOf(Date.now());
  const live = { refetchInterval: LIVE_MS };
  const zones = useQuery({ ...queries.zones(), ...live, enabled: useMay("zones.read") });
  const models = useQuery({ ...queries.models(), ...live, enabled: useMay("models.read") });
  const projects = useQuery({ ...queries.projects(), ...live, enabled: useMay("projects.read") });
  const usage = useQuery({
    ...queries.usage(from, to, "project"),
    ...live,
    enabled: useMay("usage.read"),
  });
  const keys = useQuery({ ...queries.keys(), ...live, enabled: useMay("keys.read") });
  const system = useQuery({ ...queries.system(), ...live, enabled: useMay("system.read") });
  return needsOf(
    {
      zones: zones.data?.items,
      models: models.data?.items,
      projects: projects.data?.items,
      usage: usage.data,
      keys: keys.data?.items,
      gateways: system.data?.gateways,
    },
    Date.now(),
  );
}
