// The last requests: filters in the URL, rows by keyboard, the chosen one beside the list.

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useMemo, useState, type ReactNode } from "react";
import { queries } from "../api.ts";
import { REQUEST_STATUSES, type RequestRow, type RequestStatus } from "../api.types.ts";
import { count, duration, moneyColumn, toPico, when } from "../format.ts";
import { useSettings } from "../settings.ts";
import { Answer, Empty } from "../ui/answer.tsx";
import { Button, Choices } from "../ui/controls.tsx";
import { Money, Page, Time } from "../ui/page.tsx";
import { Table, type Column } from "../ui/table.tsx";
import { Outcome, RequestChain } from "../ui/request-chain.tsx";

const route = getRouteApi("/app/requests");
const LIVE_MS = 4_000;
/** Drawn at first; a button asks for more. */
const ROWS_SHOWN = 200;

const columnsOf = (cost: (amountPico: bigint) => string): readonly Column<RequestRow>[] => [
  {
    head: "Time",
    cell: (row) => (
      <Link to="/requests/$requestId" params={{ requestId: row.requestId }}>
        <Time at={row.at} />
      </Link>
    ),
  },
  { head: "Outcome", cell: (row) => <Outcome status={row.status} httpStatus={row.httpStatus} /> },
  { head: "Model", cell: (row) => row.model },
  {
    head: "Route",
    wide: true,
    cell: (row) =>
      `${row.zone} / ${row.engine}${row.attempt > 1 ? ` (${row.attemptKind} ${row.attempt})` : ""}`,
  },
  { head: "Key", wide: "most", cell: (row) => row.keyName },
  { head: "First token", align: "end", wide: "most", cell: (row) => duration(row.firstByteMs) },
  { head: "Total", align: "end", wide: true, cell: (row) => duration(row.durationMs) },
  {
    head: "Tokens in",
    align: "end",
    wide: "most",
    cell: (row) => count(row.inputTokens),
  },
  {
    head: "Tokens out",
    align: "end",
    wide: "most",
    cell: (row) => count(row.outputTokens),
  },
  { head: "Cost", align: "end", cell: (row) => <Money amount={row.amount} show={cost} /> },
];

export function RequestsPage() {
  const { find, row: _, rows: __, live, ...filter } = route.useSearch();
  const requests = useQuery({
    ...queries.requests(filter),
    refetchInterval: live === "off" ? false : LIVE_MS,
    placeholderData: (old) => old,
  });
  const rows = useMemo(
    () => matching(requests.data?.items ?? [], filter.status, find),
    [requests.data, filter.status, find],
  );
  return (
    <Page
      title="Requests"
      lede="The last 1,000, newest first."
      asOf={requests.dataUpdatedAt || undefined}
    >
      <Filters rows={requests.data?.items ?? []} />
      <Answer query={requests} rows={8}>
        {() => (
          <List rows={rows} question={JSON.stringify([filter, find, requests.isPlaceholderData])} />
        )}
      </Answer>
    </Page>
  );
}

/** While a reader points at the list, is inside it or has a row open, it stands still and says how much is new. */
function List({ rows: latest, question }: { rows: readonly RequestRow[]; question: string }) {
  const { row: chosen, rows: shownMax = ROWS_SHOWN } = route.useSearch();
  const navigate = useNavigate({ from: "/requests" });
  const [inside, setInside] = useState(false);
  const still = useStill(latest, question, inside || chosen !== undefined);
  const choose = (row: string | undefined) =>
    void navigate({ search: (old) => ({ ...old, row }), replace: true, resetScroll: false });
  const open = (id: string) =>
    void navigate({ to: "/requests/$requestId", params: { requestId: requestIdOf(id) } });
  const cost = moneyColumn(still.rows.map((row) => toPico(row.amount)));
  return (
    <div className={chosen ? "beside" : ""}>
      <div
        onPointerEnter={() => setInside(true)}
        onPointerLeave={() => setInside(false)}
        onFocus={() => setInside(true)}
        onBlur={() => setInside(false)}
      >
        <Waiting count={still.waiting} onShow={still.release} />
        {still.rows.length === 0 ? (
          <NoRows />
        ) : (
          <Table
            caption="Requests"
            columns={columnsOf(cost)}
            rows={still.rows.slice(0, shownMax)}
            rowId={rowIdOf}
            selected={chosen}
            onSelect={choose}
            onOpen={open}
          />
        )}
        <More shown={shownMax} of={still.rows.length} />
      </div>
      {chosen ? <Peek requestId={requestIdOf(chosen)} onClose={() => choose(undefined)} /> : null}
    </div>
  );
}

/** `question` tells lists apart: after another filter there is another list, not newer rows of this one. */
function useStill(latest: readonly RequestRow[], question: string, isStill: boolean) {
  const [kept, setKept] = useState({ rows: latest, question });
  const stands = isStill && kept.question === question;
  if (!stands && (kept.rows !== latest || kept.question !== question))
    setKept({ rows: latest, question });
  const first = kept.rows[0];
  const at = first ? latest.findIndex((row) => rowIdOf(row) === rowIdOf(first)) : -1;
  return {
    rows: stands ? kept.rows : latest,
    waiting: stands ? (at < 0 ? latest.length : at) : 0,
    release: () => setKept({ rows: latest, question }),
  };
}

function Waiting({ count: waiting, onShow }: { count: number; onShow: () => void }): ReactNode {
  if (waiting === 0) return null;
  return (
    <div className="waiting">
      <Button look="primary" onClick={onShow}>
        Show {count(waiting)} new
      </Button>
    </div>
  );
}

function More({ shown, of }: { shown: number; of: number }): ReactNode {
  if (of <= shown) return null;
  return (
    <p className="more">
      <Link
        className="button plain"
        to="/requests"
        search={(old) => ({ ...old, rows: shown + ROWS_SHOWN })}
        resetScroll={false}
        replace
      >
        Show {count(Math.min(ROWS_SHOWN, of - shown))} more
      </Link>{" "}
      <span className="minor">
        {count(shown)} of {count(of)}
      </span>
    </p>
  );
}

/** A request has a row for each attempt. */
const rowIdOf = (row: RequestRow) => `${row.requestId}.${row.attempt}`;
const requestIdOf = (rowId: string) => rowId.split(".")[0] ?? rowId;

/** The rows of the filter before stay while the next are asked for, but never under a heading that is not theirs. */
const isOf = (row: RequestRow, status: RequestStatus) =>
  status === "failures"
    ? row.status !== "ok" && row.status !== "caller_left"
    : row.status === status;

function matching(
  rows: readonly RequestRow[],
  status: RequestStatus | undefined,
  find: string | undefined,
) {
  const text = find?.toLowerCase();
  return rows.filter(
    (row) =>
      (status === undefined || isOf(row, status)) &&
      (text === undefined ||
        [row.requestId, row.model, row.keyName, row.engine, row.zone, row.project, row.status].some(
          (value) => value.toLowerCase().includes(text),
        )),
  );
}

function Filters({ rows }: { rows: readonly RequestRow[] }) {
  const search = route.useSearch();
  const navigate = useNavigate({ from: "/requests" });
  const { timeZone } = useSettings();
  const set = (change: Partial<typeof search>) =>
    void navigate({ search: (old) => ({ ...old, ...change, row: undefined }), replace: true });
  const models = [
    ...new Set([...rows.map((row) => row.model), ...(search.model ? [search.model] : [])]),
  ].sort();
  const keys = useQuery(queries.keys());
  const span = [search.from, search.to].map((at) => (at ? when(at, "moment", timeZone) : ""));
  const scoped = [
    search.engineId ? "one engine" : "",
    search.projectId ? "one project" : "",
    span.some(Boolean) ? `${span[0] || "the beginning"} to ${span[1] || "now"}` : "",
  ].filter(Boolean);
  return (
    <search className="tools">
      <label>
        <span>Find</span>
        <input
          data-filter
          type="search"
          placeholder="id, model, key, engine"
          value={search.find ?? ""}
          onChange={(event) => set({ find: event.target.value || undefined })}
        />
      </label>
      <label>
        <span>Outcome</span>
        <select
          value={search.status ?? ""}
          onChange={({ target }) =>
            set({ status: REQUEST_STATUSES.find((status) => status === target.value) })
          }
        >
          <option value="">any</option>
          {REQUEST_STATUSES.map((status) => (
            <option key={status} value={status}>
              {status === "failures" ? "all failures" : status.replaceAll("_", " ")}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span>Model</span>
        <select
          value={search.model ?? ""}
          onChange={(event) => set({ model: event.target.value || undefined })}
        >
          <option value="">any</option>
          {models.map((model) => (
            <option key={model}>{model}</option>
          ))}
        </select>
      </label>
      <label>
        <span>Key</span>
        <select
          value={search.keyId ?? ""}
          onChange={(event) => set({ keyId: event.target.value || undefined })}
        >
          <option value="">any</option>
          {(keys.data?.items ?? []).map((key) => (
            <option key={key.id} value={key.id}>
              {key.name}
            </option>
          ))}
        </select>
      </label>
      <Choices
        label="Updates"
        choices={[
          { label: "Live", active: search.live === undefined, search: { live: undefined } },
          { label: "Paused", active: search.live === "off", search: { live: "off" } },
        ]}
      />
      {scoped.length > 0 ? (
        <p className="scope">
          Only {scoped.join(", ")}. <Link to="/requests">Show all</Link>
        </p>
      ) : null}
    </search>
  );
}

function NoRows() {
  const filtered = Object.keys(route.useSearch()).some((name) => name !== "live" && name !== "row");
  return filtered ? (
    <Empty
      title="No request matches"
      action={
        <Link className="button primary" to="/requests">
          Show all requests
        </Link>
      }
    >
      Nothing among the last 1,000 fits these filters.
    </Empty>
  ) : (
    <Empty
      title="No requests yet"
      action={
        <Link className="button primary" to="/playground">
          Open the playground
        </Link>
      }
    >
      Each call through the gateway leaves a row here, with its route, tokens and cost.
    </Empty>
  );
}

function Peek({ requestId, onClose }: { requestId: string; onClose: () => void }) {
  const request = useQuery(queries.request(requestId));
  return (
    <aside
      className="peek"
      aria-label="Chosen request"
      onKeyDown={(event) => (event.key === "Escape" ? onClose() : undefined)}
    >
      <header>
        <Link to="/requests/$requestId" params={{ requestId }}>
          Open as page
        </Link>
        <Button look="quiet" aria-label="Close" onClick={onClose}>
          ✕
        </Button>
      </header>
      <Answer query={request}>{(detail) => <RequestChain detail={detail} />}</Answer>
    </aside>
  );
}
