// The models that callers can name, where each is served and whether it has a price; and pulling one into the embedded engine.

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { api, queries } from "../api.ts";
import type { Model, Price, Pull } from "../api.types.ts";
import { useChange, useMay } from "../app/access.ts";
import { bytes, count } from "../format.ts";
import { Answer, Empty } from "../ui/answer.tsx";
import { Badge, Button } from "../ui/controls.tsx";
import { Section } from "../ui/page.tsx";
import { Table } from "../ui/table.tsx";
import { datedOf } from "./prices.rules.ts";

const LIVE_MS = 1_000;
const CHAT_MODEL = "smollm2-135m";

export function Models() {
  const models = useQuery(queries.models());
  const may = useMay("models.write");
  const prices = useQuery(queries.prices());
  const inForce = new Map(
    datedOf(prices.data?.items ?? [], Date.now())
      .filter(({ standing }) => standing === "in force")
      .map(({ price }) => [price.model, price]),
  );
  const pulls = useQuery({
    ...queries.pulls(),
    refetchInterval: ({ state }) => (state.data?.items.some(isOpen) ? LIVE_MS : false),
  });
  const pull = useChange({ run: api.pullModel, touches: ["/models/pulls", "/models"] });
  const known =
    models.data?.items.some((model) => model.name === CHAT_MODEL) ||
    pulls.data?.items.some((item) => item.name === CHAT_MODEL && isOpen(item));
  const offer =
    may && !known ? (
      <Button disabled={pull.isPending} onClick={() => pull.mutate(CHAT_MODEL)}>
        Pull {CHAT_MODEL}, a small chat model
      </Button>
    ) : null;
  return (
    <Section title="Models" corner={offer}>
      {pull.error ? (
        <p className="wrong" role="alert">
          {pull.error.message}
        </p>
      ) : null}
      {(pulls.data?.items ?? [])
        .filter((item) => item.state !== "done")
        .map((item) => (
          <PullLine key={item.name} pull={item} />
        ))}
      <Answer query={models}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No models" action={offer}>
              Models appear with the upstreams that serve them.
            </Empty>
          ) : (
            <Table
              caption="Models"
              rows={items}
              rowId={(model) => model.id}
              columns={[
                {
                  head: "Model",
                  cell: (model) => (
                    <Link className="name" to="/playground" search={{ model: model.name }}>
                      {model.name}
                    </Link>
                  ),
                },
                { head: "Version", cell: (model) => model.version },
                {
                  head: "Price in / out",
                  cell: (model) => <ModelPrice model={model} inForce={inForce.get(model.name)} />,
                },
                {
                  head: "Served by",
                  wide: true,
                  cell: (model) => model.engines.join(", ") || "nobody",
                },
                {
                  head: "Context",
                  align: "end",
                  wide: true,
                  cell: (model) =>
                    model.contextTokens === null ? "unknown" : count(model.contextTokens),
                },
                { head: "Owner", wide: true, cell: (model) => model.ownedBy },
              ]}
            />
          )
        }
      </Answer>
    </Section>
  );
}

const isOpen = (pull: Pull) => pull.state === "queued" || pull.state === "running";

function PullLine({ pull }: { pull: Pull }) {
  return (
    <p className={pull.state === "failed" ? "wrong" : "pull"}>
      {pull.name}:{" "}
      {pull.state === "failed"
        ? pull.detail
        : `${bytes(pull.doneBytes)}${pull.totalBytes === null ? "" : ` of ${bytes(pull.totalBytes)}`}`}
      {isOpen(pull) ? (
        <progress
          aria-label={`Pulling ${pull.name}`}
          max={pull.totalBytes ?? undefined}
          value={pull.totalBytes === null ? undefined : pull.doneBytes}
        />
      ) : null}
    </p>
  );
}

/** Dollars per million tokens; a model without a price is refused, so that is said here. */
function ModelPrice({ model, inForce }: { model: Model; inForce: Price | undefined }) {
  if (!model.priced)
    return (
      <Link to="/prices" search={{ add: true, model: model.name }}>
        <Badge tone="warn">none: refused</Badge>
      </Link>
    );
  const { input_tokens: input, output_tokens: output } = inForce?.perMillion ?? {};
  return (
    <Link to="/prices" search={{ model: model.name }}>
      {input === undefined ? "set" : `$${input} / ${output === undefined ? "–" : `$${output}`}`}
    </Link>
  );
}
