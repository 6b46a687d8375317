// Prices by model: what is in force now, what comes next, what was before. A price is never edited, only followed by a later one.

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useRef } from "react";
import { api, ApiFault, queries } from "../api.ts";
import { useChange, useMay } from "../app/access.ts";
import { words } from "../format.ts";
import { Answer, Empty, FaultNote } from "../ui/answer.tsx";
import { Badge, Button } from "../ui/controls.tsx";
import { Page, Time } from "../ui/page.tsx";
import { Table } from "../ui/table.tsx";
import { SetPrice } from "./price-form.tsx";
import { datedOf, type Dated } from "./prices.rules.ts";

const route = getRouteApi("/app/prices");

export function PricesPage() {
  const { add, model, find } = route.useSearch();
  const navigate = useNavigate({ from: "/prices" });
  const may = useMay("prices.write");
  const prices = useQuery(queries.prices());
  const wanted = model ?? find;
  const rows = datedOf(prices.data?.items ?? [], Date.now()).filter(({ price, standing }) =>
    model
      ? price.model === model
      : standing !== "past" &&
        (!wanted || price.model.toLowerCase().includes(wanted.toLowerCase())),
  );
  const openAdd = (open: boolean) =>
    void navigate({ search: (old) => ({ ...old, add: open || undefined }), replace: !open });
  return (
    <Page
      title="Prices"
      lede="Dollars per million units, by model and date. A model without a price is refused, never free."
      actions={
        may ? (
          <>
            <ImportPrices />
            <Button look="primary" onClick={() => openAdd(true)}>
              Set a price
            </Button>
          </>
        ) : null
      }
    >
      <search className="tools">
        <label>
          <span>Model</span>
          <input
            data-filter
            type="search"
            value={wanted ?? ""}
            onChange={(event) =>
              void navigate({
                search: (old) => ({
                  ...old,
                  model: undefined,
                  find: event.target.value || undefined,
                }),
                replace: true,
              })
            }
          />
        </label>
        {model ? <p className="scope">All versions of {model}.</p> : null}
      </search>
      <Answer query={prices}>
        {({ items }) =>
          rows.length === 0 ? (
            <Empty
              title={items.length === 0 ? "No prices yet" : "No price matches"}
              action={
                may ? (
                  <Button look="primary" onClick={() => openAdd(true)}>
                    Set a price
                  </Button>
                ) : null
              }
            >
              Set one here, or import a dated price file.
            </Empty>
          ) : (
            <PriceTable rows={rows} />
          )
        }
      </Answer>
      {add ? <SetPrice model={model} onClose={() => openAdd(false)} /> : null}
    </Page>
  );
}

const STANDING = { "in force": "ok", planned: "warn", past: "idle" } as const;

function PriceTable({ rows }: { rows: readonly Dated[] }) {
  const perMillion = (meter: keyof Dated["price"]["perMillion"]) => (row: Dated) =>
    row.price.perMillion[meter] === undefined ? "–" : `$${row.price.perMillion[meter]}`;
  const others = ({ price }: Dated) =>
    Object.entries(price.perMillion)
      .filter(
        ([meter]) => !["input_tokens", "cached_input_tokens", "output_tokens"].includes(meter),
      )
      .map(([meter, amount]) => `${words(meter)} $${amount}`)
      .join(", ");
  return (
    <Table
      caption="Prices per million units"
      rows={rows}
      rowId={({ price }) => price.id}
      columns={[
        {
          head: "Model",
          cell: ({ price }) => (
            <Link className="name" to="/prices" search={{ model: price.model }}>
              {price.model}
            </Link>
          ),
        },
        {
          head: "Standing",
          cell: ({ standing }) => <Badge tone={STANDING[standing]}>{standing}</Badge>,
        },
        {
          head: "From",
          wide: true,
          cell: ({ price }) => <Time at={price.effectiveFrom} style="day" />,
        },
        { head: "Input", align: "end", cell: perMillion("input_tokens") },
        { head: "Cached", align: "end", wide: true, cell: perMillion("cached_input_tokens") },
        { head: "Output", align: "end", cell: perMillion("output_tokens") },
        ...(rows.some((row) => others(row) !== "")
          ? [{ head: "Others", wide: true as const, cell: others }]
          : []),
        { head: "Source", wide: true, cell: ({ price }) => price.source },
      ]}
    />
  );
}

async function importFile(file: File) {
  try {
    return await api.importPrices(JSON.parse(await file.text()));
  } catch (error) {
    if (error instanceof SyntaxError)
      throw new ApiFault(0, {
        code: "request.json",
        message: `${file.name} is not JSON: ${error.message}`,
      });
    throw error;
  }
}

function ImportPrices() {
  const input = useRef<HTMLInputElement>(null);
  const load = useChange({
    run: importFile,
    touches: ["/prices", "/models"],
    said: ({ added, unchanged }) => `${added} prices added, ${unchanged} unchanged.`,
  });
  return (
    <>
      <Button disabled={load.isPending} onClick={() => input.current?.click()}>
        Import a file
      </Button>
      <input
        ref={input}
        type="file"
        accept="application/json,.json"
        hidden
        aria-label="Price file"
        onChange={(event) => event.target.files?.[0] && load.mutate(event.target.files[0])}
      />
      {load.error ? <FaultNote error={load.error} /> : null}
    </>
  );
}
