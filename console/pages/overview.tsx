// What is happening now: traffic, money and speed by the minute, and what is up. Every figure leads to its rows.

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { queries } from "../api.ts";
import type { Overview, Zone } from "../api.types.ts";
import { count, duration, moneyColumn, share, short, toPico, usd } from "../format.ts";
import { WINDOWS_MIN } from "../search.ts";
import { Answer, Empty } from "../ui/answer.tsx";
import { minutesPerColumn, toColumns, type Column } from "../ui/chart.rules.ts";
import { Choices, State } from "../ui/controls.tsx";
import { Money, Page, Section, Time } from "../ui/page.tsx";
import { Table } from "../ui/table.tsx";
import { TimeChart } from "../ui/time-chart.tsx";
import { Needs } from "./needs.tsx";
import { SpendByModel } from "./spend-by-model.tsx";

const route = getRouteApi("/app/");
const LIVE_MS = 2_000;
const WINDOW_NAMES: Readonly<Record<number, string>> = {
  15: "15 min",
  60: "1 h",
  360: "6 h",
  1440: "24 h",
};

const SPANS: Readonly<Record<number, string>> = {
  15: "15 minutes",
  60: "hour",
  360: "6 hours",
  1440: "24 hours",
};

export function OverviewPage() {
  const { minutes = 60, view, live } = route.useSearch();
  const overview = useQuery({
    ...queries.overview(minutes),
    refetchInterval: live === "off" ? false : LIVE_MS,
    placeholderData: (old) => old,
  });
  return (
    <Page title="Overview" asOf={overview.data?.asOf} lede={`The last ${SPANS[minutes]}.`}>
      <div className="tools">
        <Choices
          label="Window"
          choices={WINDOWS_MIN.map((option) => ({
            label: WINDOW_NAMES[option] ?? "",
            active: option === minutes,
            search: { minutes: option },
          }))}
        />
        <Choices
          label="Shown as"
          choices={[
            { label: "Charts", active: view === undefined, search: { view: undefined } },
            { label: "Table", active: view === "table", search: { view: "table" } },
          ]}
        />
        <Choices
          label="Updates"
          choices={[
            { label: "Live", active: live === undefined, search: { live: undefined } },
            { label: "Paused", active: live === "off", search: { live: "off" } },
          ]}
        />
      </div>
      <Needs />
      <Answer query={overview} rows={6}>
        {(data) => <Figures overview={data} minutes={minutes} asTable={view === "table"} />}
      </Answer>
      <div className="halves">
        <Places />
        <SpendByModel minutes={minutes} />
      </div>
    </Page>
  );
}

function Figures({
  overview,
  minutes,
  asTable,
}: {
  overview: Overview;
  minutes: number;
  asTable: boolean;
}) {
  const columns = toColumns(overview.series, Date.parse(overview.asOf), minutes);
  return (
    <>
      <Totals overview={overview} minutes={minutes} from={columns[0]?.from} />
      {overview.totals.requests === 0 ? (
        <Empty
          title="No requests in this window"
          action={
            <Link className="button primary" to="/start">
              Make the first call
            </Link>
          }
        >
          Figures appear a second after a call has been answered.
        </Empty>
      ) : null}
      {asTable ? <MinuteTable columns={columns} /> : <Charts columns={columns} minutes={minutes} />}
    </>
  );
}

interface TotalsProps {
  readonly overview: Overview;
  readonly minutes: number;
  readonly from: string | undefined;
}

function Totals({ overview, minutes, from }: TotalsProps) {
  const { totals } = overview;
  const rows = { from };
  return (
    <dl className="totals">
      <Total name="Requests" note={perMinute(totals.requests / minutes)}>
        <Link to="/requests" search={rows} title={count(totals.requests)}>
          {short(totals.requests)}
        </Link>
      </Total>
      <Total name="Failures" note={`${share(totals.failures, totals.requests)} of requests`}>
        <Link
          to="/requests"
          search={{ ...rows, status: "failures" }}
          title={count(totals.failures)}
          className={totals.failures > 0 ? "wrong" : ""}
        >
          {short(totals.failures)}
        </Link>
      </Total>
      <Total
        name="Tokens"
        note={`${short(totals.inputTokens)} in · ${short(totals.outputTokens)} out`}
      >
        <Link
          to="/usage"
          search={{ range: "1d" }}
          title={count(totals.inputTokens + totals.outputTokens)}
        >
          {short(totals.inputTokens + totals.outputTokens)}
        </Link>
      </Total>
      <Total name="Spend" note={perRequest(totals)}>
        <Link to="/usage" search={{ range: "1d", groupBy: "model" }}>
          <Money amount={totals.amount} />
        </Link>
      </Total>
      <Total name="First token, p50" note={`p95 ${duration(overview.firstByteP95Ms)}`}>
        <Link to="/requests" search={rows}>
          {duration(overview.firstByteP50Ms)}
        </Link>
      </Total>
    </dl>
  );
}

const perMinute = (rate: number) =>
  `${rate < 10 ? rate.toFixed(1) : short(Math.round(rate))} a minute`;

function perRequest({ requests, amount }: Overview["totals"]): string {
  if (requests === 0) return "none yet";
  return `${usd(toPico(amount) / BigInt(requests))} a request`;
}

function Total({ name, note, children }: { name: string; note?: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {children}
        {note ? <small>{note}</small> : null}
      </dd>
    </div>
  );
}

const dollars = (value: number) => usd(BigInt(Math.round(value)));

function Charts({ columns, minutes }: { columns: readonly Column[]; minutes: number }) {
  const [cursor, setCursor] = useState<number>();
  const step = minutesPerColumn(minutes);
  const unit = step === 1 ? "per minute" : `per ${step} minutes`;
  const shared = {
    columns,
    cursor,
    onCursor: setCursor,
    times: "time",
    isLastOpen: true,
  } as const;
  const values = (read: (column: Column) => number | null) => columns.map(read);
  return (
    <div className="charts">
      <TimeChart
        {...shared}
        title="Requests"
        unit={unit}
        kind="stack"
        format={short}
        series={[
          { name: "failed", tone: "bad", values: values((column) => column.failures) },
          {
            name: "answered",
            tone: "two",
            values: values((column) => column.requests - column.failures),
          },
        ]}
      />
      <TimeChart
        {...shared}
        title="Time to first token"
        unit={step === 1 ? "by minute" : `worst minute of ${step}`}
        kind="lines"
        format={duration}
        series={[
          { name: "p50", tone: "two", values: values((column) => column.firstByteP50Ms) },
          { name: "p95", tone: "one", values: values((column) => column.firstByteP95Ms) },
        ]}
      />
      <TimeChart
        {...shared}
        title="Tokens"
        unit={unit}
        kind="stack"
        format={short}
        series={[
          { name: "in", tone: "two", values: values((column) => column.inputTokens) },
          { name: "out", tone: "one", values: values((column) => column.outputTokens) },
        ]}
      />
      <TimeChart
        {...shared}
        title="Spend"
        unit={unit}
        kind="stack"
        format={dollars}
        series={[
          { name: "spend", tone: "one", values: values((column) => Number(column.amountPico)) },
        ]}
      />
    </div>
  );
}

function MinuteTable({ columns }: { columns: readonly Column[] }) {
  const spend = moneyColumn(columns.map((column) => column.amountPico));
  return (
    <Table
      caption="Figures by time, newest first"
      rows={columns.toReversed()}
      rowId={(column) => column.from}
      columns={[
        { head: "From", cell: (column) => <Time at={column.from} style="time" /> },
        {
          head: "Requests",
          align: "end",
          cell: (column) =>
            column.requests === 0 ? (
              "0"
            ) : (
              <Link to="/requests" search={{ from: column.from, to: column.to }}>
                {count(column.requests)}
              </Link>
            ),
        },
        { head: "Failed", align: "end", cell: (column) => count(column.failures) },
        {
          head: "Tokens in",
          align: "end",
          wide: true,
          cell: (column) => count(column.inputTokens),
        },
        {
          head: "Tokens out",
          align: "end",
          wide: true,
          cell: (column) => count(column.outputTokens),
        },
        { head: "Spend", align: "end", cell: (column) => spend(column.amountPico) },
        {
          head: "First token p50",
          align: "end",
          cell: (column) => duration(column.firstByteP50Ms),
        },
        { head: "p95", align: "end", cell: (column) => duration(column.firstByteP95Ms) },
      ]}
    />
  );
}

function Places() {
  const zones = useQuery({ ...queries.zones(), refetchInterval: LIVE_MS * 2 });
  return (
    <Section title="Zones and engines" corner={<Link to="/zones">All zones</Link>}>
      <Answer query={zones} rows={2}>
        {({ items }) => (
          <ul className="places">
            {items.map((zone) => (
              <Place key={zone.id} zone={zone} />
            ))}
          </ul>
        )}
      </Answer>
    </Section>
  );
}

function Place({ zone }: { zone: Zone }) {
  const engines = zone.pools.flatMap((pool) => pool.engines);
  return (
    <li>
      <h3>{zone.name}</h3>
      <ul>
        {engines.map((engine) => (
          <li key={engine.id}>
            <State name={engine.enabled ? engine.state : "off"} />
            <Link to="/requests" search={{ engineId: engine.id }}>
              {engine.name}
            </Link>
          </li>
        ))}
        {engines.length === 0 ? <li>no engines</li> : null}
      </ul>
    </li>
  );
}
