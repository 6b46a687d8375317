// Where the money of the overview's window went; the models that cost most come first.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { queries } from "../api.ts";
import type { UsageRow } from "../api.types.ts";
import { count, moneyColumn, toPico } from "../format.ts";
import { Answer } from "../ui/answer.tsx";
import { Money, Section } from "../ui/page.tsx";
import { Table } from "../ui/table.tsx";
import { Share } from "../ui/time-chart.tsx";

const MINUTE_MS = 60_000;
/** More do not fit beside the zones. */
const MODELS_MAX = 5;

export function SpendByModel({ minutes }: { minutes: number }) {
  const untilMs = Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS;
  const [from, to] = [untilMs - minutes * MINUTE_MS, untilMs].map((ms) =>
    new Date(ms).toISOString(),
  );
  const usage = useQuery({
    ...queries.usage(from ?? "", to ?? "", "model"),
    placeholderData: (old) => old,
  });
  return (
    <Section title="Spend by model" corner={<Link to="/usage">All usage</Link>}>
      <Answer query={usage} rows={3}>
        {({ rows, total }) =>
          rows.length === 0 ? (
            <p className="minor">Nothing was spent.</p>
          ) : (
            <SpendTable
              rows={rows.slice(0, MODELS_MAX)}
              all={Number(toPico(total.amount))}
              from={from}
            />
          )
        }
      </Answer>
    </Section>
  );
}

interface SpendTableProps {
  readonly rows: readonly UsageRow[];
  readonly all: number;
  readonly from: string | undefined;
}

function SpendTable({ rows, all, from }: SpendTableProps) {
  const spend = moneyColumn(rows.map((row) => toPico(row.amount)));
  return (
    <Table
      caption="Spend by model"
      rows={rows}
      rowId={(row) => row.group}
      columns={[
        {
          head: "Model",
          cell: (row) => (
            <Link to="/requests" search={{ model: row.group, from }}>
              {row.label}
            </Link>
          ),
        },
        { head: "Requests", align: "end", cell: (row) => count(row.requests) },
        {
          head: "Spend",
          align: "end",
          cell: (row) => <Money amount={row.amount} show={spend} />,
        },
        {
          head: "Share",
          wide: true,
          cell: (row) => <Share part={Number(toPico(row.amount))} all={all} />,
        },
      ]}
    />
  );
}
