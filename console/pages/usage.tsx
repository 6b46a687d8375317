// What was used and what it cost, grouped one way at a time. The table's total is the ledger's own, not a sum made here.

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { queries } from "../api.ts";
import { USAGE_GROUPS, type Usage, type UsageGroup, type UsageRow } from "../api.types.ts";
import { addDays, dayOf, daysBetween, startOfDay } from "../days.ts";
import { count, moneyColumn, toPico, usd, when } from "../format.ts";
import { RANGES, type Range } from "../search.ts";
import { useSettings } from "../settings.ts";
import { Answer, Empty } from "../ui/answer.tsx";
import { Button, Choices } from "../ui/controls.tsx";
import { Money, Page } from "../ui/page.tsx";
import { Table } from "../ui/table.tsx";
import { Share, TimeChart } from "../ui/time-chart.tsx";
import { toCsv } from "./usage.csv.ts";

const route = getRouteApi("/app/usage");
const RANGE_NAMES: Readonly<Record<Range, string>> = {
  "1d": "Today",
  "7d": "7 days",
  "30d": "30 days",
  "90d": "90 days",
  month: "Month",
};

const GROUP_NAMES: Readonly<Record<UsageGroup, string>> = {
  model: "Model",
  project: "Project",
  key: "Key",
  engine: "Engine",
  day: "Day",
};

/** First and last day, both included. */
function daysOf(range: Range, today: string): [string, string] {
  if (range === "month") return [`${today.slice(0, 8)}01`, today];
  return [addDays(today, 1 - Number.parseInt(range, 10)), today];
}

export function UsagePage() {
  const { groupBy = "model", range = "30d", ...own } = route.useSearch();
  const navigate = useNavigate({ from: "/usage" });
  const { timeZone } = useSettings();
  const [rangeFrom, rangeTo] = daysOf(range, dayOf(Date.now(), timeZone));
  const [from, to] = [own.from ?? rangeFrom, own.to ?? rangeTo];
  const [fromAt, toAt] = [startOfDay(from, timeZone), startOfDay(addDays(to, 1), timeZone)].map(
    (ms) => new Date(ms).toISOString(),
  );
  const usage = useQuery({
    ...queries.usage(fromAt ?? "", toAt ?? "", groupBy, timeZone),
    placeholderData: (old) => old,
  });
  const custom = own.from !== undefined || own.to !== undefined;
  const setDays = (change: { from?: string; to?: string }) =>
    void navigate({
      search: (old) => ({ ...old, from, to, ...change, range: undefined }),
      replace: true,
    });
  const [first, last] = [from, to].map((day) => when(startOfDay(day, timeZone), "day", timeZone));
  return (
    <Page
      title="Usage"
      lede={from === to ? `${first}, in ${timeZone}.` : `${first} to ${last}, days of ${timeZone}.`}
      asOf={usage.dataUpdatedAt || undefined}
      actions={
        usage.data ? (
          <Button onClick={() => download(usage.data, groupBy, from, to)}>Export CSV</Button>
        ) : null
      }
    >
      <div className="tools">
        <Choices
          label="Group by"
          choices={USAGE_GROUPS.map((group) => ({
            label: GROUP_NAMES[group],
            active: group === groupBy,
            search: { groupBy: group },
          }))}
        />
        <Choices
          label="Range"
          choices={RANGES.map((option) => ({
            label: RANGE_NAMES[option],
            active: !custom && option === range,
            search: { range: option, from: undefined, to: undefined },
          }))}
        />
        <div className="row">
          <label>
            <span>From</span>
            <input
              data-filter
              type="date"
              value={from}
              max={to}
              onChange={(event) => event.target.value && setDays({ from: event.target.value })}
            />
          </label>
          <label>
            <span>To</span>
            <input
              type="date"
              value={to}
              min={from}
              onChange={(event) => event.target.value && setDays({ to: event.target.value })}
            />
          </label>
        </div>
      </div>
      <Days from={from} to={to} />
      <Answer query={usage} rows={6}>
        {(data) => <UsageTable usage={data} groupBy={groupBy} from={fromAt} to={toAt} />}
      </Answer>
    </Page>
  );
}

interface TableProps {
  readonly usage: Usage;
  readonly groupBy: UsageGroup;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

function UsageTable({ usage, groupBy, from, to }: TableProps) {
  const { timeZone } = useSettings();
  if (usage.rows.length === 0)
    return (
      <Empty
        title="Nothing was used in these days"
        action={
          <Link className="button primary" to="/usage" search={{ range: "90d" }}>
            Show 90 days
          </Link>
        }
      >
        Usage is here about a second after a call has been answered.
      </Empty>
    );
  const total = usage.total;
  const all = Number(toPico(total.amount));
  const cost = moneyColumn([total, ...usage.rows].map((row) => toPico(row.amount)));
  const rowsOf = (row: UsageRow) => {
    if (groupBy === "day")
      return {
        from: new Date(startOfDay(row.group, timeZone)).toISOString(),
        to: new Date(startOfDay(addDays(row.group, 1), timeZone)).toISOString(),
      };
    const name = { model: "model", project: "projectId", key: "keyId", engine: "engineId" }[
      groupBy
    ];
    return { from, to, [name]: row.group };
  };
  return (
    <Table
      caption={`Usage by ${groupBy}`}
      rows={usage.rows}
      rowId={(row) => row.group}
      columns={[
        {
          head: GROUP_NAMES[groupBy],
          cell: (row) => (
            <Link to="/requests" search={rowsOf(row)}>
              {row.label}
            </Link>
          ),
        },
        {
          head: "Cost",
          align: "end",
          cell: (row) => <Money amount={row.amount} show={cost} />,
        },
        {
          head: "Share",
          wide: true,
          cell: (row) => <Share part={Number(toPico(row.amount))} all={all} />,
        },
        {
          head: "Requests",
          align: "end",
          cell: (row) => (
            <Link to="/requests" search={rowsOf(row)}>
              {count(row.requests)}
            </Link>
          ),
        },
        {
          head: "Failed",
          align: "end",
          wide: true,
          cell: (row) =>
            row.failures === 0 ? (
              "0"
            ) : (
              <Link to="/requests" search={{ ...rowsOf(row), status: "failures" }}>
                {count(row.failures)}
              </Link>
            ),
        },
        { head: "Tokens in", align: "end", wide: true, cell: (row) => count(row.inputTokens) },
        {
          head: "Cached in",
          align: "end",
          wide: true,
          cell: (row) => count(row.cachedInputTokens),
        },
        { head: "Tokens out", align: "end", wide: true, cell: (row) => count(row.outputTokens) },
      ]}
      total={[
        "Total",
        <Money key="amount" amount={total.amount} show={cost} />,
        null,
        <Link key="requests" to="/requests" search={{ from, to }}>
          {count(total.requests)}
        </Link>,
        <Link key="failures" to="/requests" search={{ from, to, status: "failures" }}>
          {count(total.failures)}
        </Link>,
        count(total.inputTokens),
        count(total.cachedInputTokens),
        count(total.outputTokens),
      ]}
    />
  );
}

/** The same days whatever the table is grouped by; a single day has no course to show. */
function Days({ from, to }: { from: string; to: string }) {
  const { timeZone } = useSettings();
  const [cursor, setCursor] = useState<number>();
  const bound = (day: string) => new Date(startOfDay(day, timeZone)).toISOString();
  const usage = useQuery({
    ...queries.usage(bound(from), bound(addDays(to, 1)), "day", timeZone),
    placeholderData: (old) => old,
  });
  const days = daysBetween(from, to);
  if (days.length < 2 || !usage.data || usage.data.rows.length === 0) return null;
  const spent = new Map(usage.data.rows.map((row) => [row.group, Number(toPico(row.amount))]));
  return (
    <TimeChart
      title="Spend"
      unit="per day"
      kind="stack"
      times="date"
      isLastOpen={to >= dayOf(Date.now(), timeZone)}
      columns={days.map((day) => ({ from: bound(day), to: bound(addDays(day, 1)) }))}
      series={[{ name: "spend", tone: "one", values: days.map((day) => spent.get(day) ?? 0) }]}
      format={(value) => usd(BigInt(Math.round(value)))}
      cursor={cursor}
      onCursor={setCursor}
    />
  );
}

function download(usage: Usage, groupBy: UsageGroup, from: string, to: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([toCsv(usage, groupBy)], { type: "text/csv" }));
  link.download = `intertie-usage-by-${groupBy}-${from}-${to}.csv`;
  link.click();
  URL.revokeObjectURL(link.href);
}
