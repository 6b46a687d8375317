// Where answers come from: zones, their pools, their engines and whether each is up, drawn like a line diagram.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { queries } from "../api.ts";
import type { Engine, Zone } from "../api.types.ts";
import { duration } from "../format.ts";
import { Answer, Empty } from "../ui/answer.tsx";
import { State } from "../ui/controls.tsx";
import { Page, Time } from "../ui/page.tsx";

const LIVE_MS = 3_000;

export function ZonesPage() {
  const zones = useQuery({ ...queries.zones(), refetchInterval: LIVE_MS });
  return (
    <Page
      title="Zones"
      lede="Zones hold pools, pools hold engines."
      asOf={zones.dataUpdatedAt || undefined}
      actions={
        <Link className="button plain" to="/upstreams" search={{ add: true }}>
          Add an upstream
        </Link>
      }
    >
      <Answer query={zones}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty
              title="No zones"
              action={
                <Link className="button primary" to="/upstreams" search={{ add: true }}>
                  Add an upstream
                </Link>
              }
            >
              A zone appears with its first engine.
            </Empty>
          ) : (
            <ul className="zones">
              {items.map((zone) => (
                <ZoneItem key={zone.id} zone={zone} />
              ))}
            </ul>
          )
        }
      </Answer>
    </Page>
  );
}

function ZoneItem({ zone }: { zone: Zone }) {
  const engines = zone.pools.flatMap((pool) => pool.engines).filter((engine) => engine.enabled);
  const up = engines.filter((engine) => engine.state === "up").length;
  return (
    <li className="zone">
      <header>
        <h2>{zone.name}</h2>
        <p>
          {zone.region}
          {zone.jurisdiction === "ZZ" ? "" : ` · ${zone.jurisdiction}`} · {up} of {engines.length}{" "}
          up
        </p>
      </header>
      <ul className="pools">
        {zone.pools.map((pool) => (
          <li key={pool.id}>
            <h3>
              {pool.name} <small>{pool.accelerator}</small>
            </h3>
            <ul className="engines">
              {pool.engines.map((engine) => (
                <EngineItem key={engine.id} engine={engine} />
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </li>
  );
}

function EngineItem({ engine }: { engine: Engine }) {
  return (
    <li>
      <p>
        <State name={engine.enabled ? engine.state : "off"} />
        <Link to="/requests" search={{ engineId: engine.id }}>
          {engine.name}
        </Link>
      </p>
      <p className="minor">{engine.models.join(", ") || "no models"}</p>
      {engine.probe ? (
        <p className="minor">
          probed <Time at={engine.probe.at} style="clock" />
          {engine.state === "up"
            ? ` in ${duration(engine.probe.latencyMs)}`
            : `: ${engine.probe.detail}`}
        </p>
      ) : (
        <p className="minor">not probed yet</p>
      )}
    </li>
  );
}
