// This installation: version, exposure, gateways, snapshot, migrations, and who changed what lately.

import { useQuery } from "@tanstack/react-query";
import { queries } from "../api.ts";
import type { SystemInfo } from "../api.types.ts";
import { useMay } from "../app/access.ts";
import { tail } from "../format.ts";
import { Answer, Empty } from "../ui/answer.tsx";
import { Badge, CopyButton, Id, State } from "../ui/controls.tsx";
import { Page, Section, Time } from "../ui/page.tsx";
import { Table } from "../ui/table.tsx";

const LIVE_MS = 3_000;

export function SystemPage() {
  const system = useQuery({ ...queries.system(), refetchInterval: LIVE_MS });
  return (
    <Page title="System" asOf={system.dataUpdatedAt || undefined}>
      <Answer query={system}>
        {(info) => (
          <>
            <Facts info={info} />
            <Section title="Gateways">
              {info.gateways.length === 0 ? (
                <Empty title="No gateway has called in">
                  Start one: <code>intertie up</code> starts one for each core.
                </Empty>
              ) : (
                <Gateways info={info} />
              )}
            </Section>
          </>
        )}
      </Answer>
      <Changes />
    </Page>
  );
}

function Facts({ info }: { info: SystemInfo }) {
  const pending = info.migrations.pending.length;
  return (
    <dl className="pairs wide-pairs">
      <div>
        <dt>Version</dt>
        <dd>{info.version}</dd>
      </div>
      <div>
        <dt>Started</dt>
        <dd>
          <Time at={info.startedAt} />
        </dd>
      </div>
      <div>
        <dt>API</dt>
        <dd>
          <code>{info.apiBaseUrl}</code> <CopyButton text={info.apiBaseUrl} />
        </dd>
      </div>
      <div>
        <dt>Exposure</dt>
        <dd>{info.exposure.detail}</dd>
      </div>
      <div>
        <dt>Migrations</dt>
        <dd>
          {pending === 0 ? (
            `${info.migrations.applied.length} applied, none pending`
          ) : (
            <Badge tone="warn">{pending} pending</Badge>
          )}
        </dd>
      </div>
      <div>
        <dt>Snapshot</dt>
        <dd>
          {info.snapshot ? (
            <>
              number {info.snapshot.sequence}, compiled <Time at={info.snapshot.compiledAt} />
            </>
          ) : (
            <Badge tone="warn">none published yet</Badge>
          )}
        </dd>
      </div>
    </dl>
  );
}

function Gateways({ info }: { info: SystemInfo }) {
  return (
    <Table
      caption="Gateways"
      rows={info.gateways}
      rowId={(gateway) => gateway.id}
      columns={[
        { head: "Gateway", cell: (gateway) => <Id id={gateway.id}>{tail(gateway.id)}</Id> },
        { head: "State", cell: (gateway) => <State name={gateway.state} /> },
        { head: "Address", wide: true, cell: (gateway) => <code>{gateway.address}</code> },
        { head: "Version", cell: (gateway) => gateway.productVersion },
        { head: "Cell", wide: true, cell: (gateway) => gateway.cell },
        { head: "Starts", align: "end", wide: true, cell: (gateway) => gateway.epoch },
        {
          head: "Last heard",
          align: "end",
          cell: (gateway) => <Time at={gateway.seenAt} style="clock" />,
        },
      ]}
    />
  );
}

function Changes() {
  const may = useMay("audit.read");
  const audit = useQuery({ ...queries.audit(), enabled: may });
  if (!may) return null;
  return (
    <Section title="Latest changes">
      <Answer query={audit}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No changes yet">
              Every change of keys, upstreams, prices and limits is logged here, in order.
            </Empty>
          ) : (
            <Table
              caption="Latest changes"
              rows={items}
              rowId={(entry) => String(entry.index)}
              columns={[
                { head: "No.", cell: (entry) => entry.index },
                { head: "Time", cell: (entry) => <Time at={entry.at} /> },
                { head: "What", cell: (entry) => entry.action },
                {
                  head: "Of",
                  wide: true,
                  cell: (entry) => <Id id={entry.subject}>{tail(entry.subject)}</Id>,
                },
                {
                  head: "By",
                  wide: true,
                  cell: (entry) => <Id id={entry.actor}>{tail(entry.actor)}</Id>,
                },
              ]}
            />
          )
        }
      </Answer>
    </Section>
  );
}
