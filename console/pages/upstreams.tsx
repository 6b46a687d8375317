// Upstreams: add, test, switch off, remove. Below them the models they serve, and models that can be pulled.

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, queries } from "../api.ts";
import type { Upstream, UpstreamTest } from "../api.types.ts";
import { useChange, useMay } from "../app/access.ts";
import { duration } from "../format.ts";
import { Answer, Empty } from "../ui/answer.tsx";
import { Badge, Button, State } from "../ui/controls.tsx";
import { Confirm } from "../ui/dialog.tsx";
import { Page } from "../ui/page.tsx";
import { Table } from "../ui/table.tsx";
import { Models } from "./models.tsx";
import { AddUpstream } from "./upstream-form.tsx";

const route = getRouteApi("/app/upstreams");
const LIVE_MS = 4_000;
const TOUCHES = ["/upstreams", "/zones", "/models"];

export function UpstreamsPage() {
  const { add } = route.useSearch();
  const navigate = useNavigate({ from: "/upstreams" });
  const may = useMay("upstreams.write");
  const upstreams = useQuery({ ...queries.upstreams(), refetchInterval: LIVE_MS });
  const openAdd = (open: boolean) =>
    void navigate({ search: { add: open || undefined }, replace: !open });
  const button = may ? (
    <Button look="primary" onClick={() => openAdd(true)}>
      Add upstream
    </Button>
  ) : null;
  return (
    <Page
      title="Upstreams"
      lede="Addresses that answer: your own engines and other people's APIs."
      asOf={upstreams.dataUpdatedAt || undefined}
      actions={button}
    >
      <Answer query={upstreams}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No upstreams" action={button}>
              Without one, no request can be answered.
            </Empty>
          ) : (
            <UpstreamTable upstreams={items} may={may} />
          )
        }
      </Answer>
      <Models />
      {add ? <AddUpstream onClose={() => openAdd(false)} /> : null}
    </Page>
  );
}

function UpstreamTable({ upstreams, may }: { upstreams: readonly Upstream[]; may: boolean }) {
  const [removing, setRemoving] = useState<Upstream>();
  return (
    <>
      <Table
        caption="Upstreams"
        rows={upstreams}
        rowId={(upstream) => upstream.id}
        columns={[
          {
            head: "Name",
            cell: (upstream) => (
              <Link className="name" to="/requests" search={{ engineId: upstream.id }}>
                {upstream.name}
              </Link>
            ),
          },
          {
            head: "State",
            cell: (upstream) => <State name={upstream.enabled ? upstream.state : "off"} />,
          },
          {
            head: "Zone",
            wide: true,
            cell: (upstream) => <Link to="/zones">{upstream.zone}</Link>,
          },
          { head: "Address", wide: true, cell: (upstream) => <code>{upstream.baseUrl}</code> },
          { head: "Models", wide: true, cell: (upstream) => modelText(upstream.models) },
          {
            head: "Last probe",
            wide: true,
            cell: (upstream) =>
              upstream.probe
                ? upstream.state === "up"
                  ? duration(upstream.probe.latencyMs)
                  : upstream.probe.detail
                : "none yet",
          },
          {
            head: "Actions",
            align: "end",
            cell: (upstream) =>
              may ? <Actions upstream={upstream} onRemove={() => setRemoving(upstream)} /> : null,
          },
        ]}
      />
      {removing ? <Remove upstream={removing} onClose={() => setRemoving(undefined)} /> : null}
    </>
  );
}

const modelText = (models: readonly string[]) =>
  models.length > 2
    ? `${models.slice(0, 2).join(", ")} and ${models.length - 2} more`
    : models.join(", ") || "none";

function Actions({ upstream, onRemove }: { upstream: Upstream; onRemove: () => void }) {
  const test = useChange({
    run: api.testUpstream,
    touches: TOUCHES,
    said: (result: UpstreamTest) => `${upstream.name}: ${testText(result)}`,
  });
  const change = useChange({
    run: (enabled: boolean) => api.changeUpstream(upstream.id, { enabled }),
    touches: TOUCHES,
    said: (_, enabled) => `${upstream.name} is ${enabled ? "enabled" : "disabled"}.`,
  });
  return (
    <div className="actions">
      {test.data ? <Badge tone={test.data.ok ? "ok" : "bad"}>{testText(test.data)}</Badge> : null}
      {test.error ? <Badge tone="bad">{test.error.message}</Badge> : null}
      <Button
        look="quiet"
        disabled={test.isPending}
        aria-label={`Test ${upstream.name}`}
        onClick={() => test.mutate(upstream.id)}
      >
        {test.isPending ? "Testing …" : "Test"}
      </Button>
      <Button
        look="quiet"
        disabled={change.isPending}
        aria-label={`${upstream.enabled ? "Disable" : "Enable"} ${upstream.name}`}
        onClick={() => change.mutate(!upstream.enabled)}
      >
        {upstream.enabled ? "Disable" : "Enable"}
      </Button>
      {upstream.kind === "embedded" ? null : (
        <Button look="quiet" aria-label={`Remove ${upstream.name}`} onClick={onRemove}>
          Remove
        </Button>
      )}
    </div>
  );
}

const testText = (result: UpstreamTest) =>
  result.ok ? `answered in ${duration(result.latencyMs)}` : result.detail;

function Remove({ upstream, onClose }: { upstream: Upstream; onClose: () => void }) {
  const remove = useChange({
    run: api.removeUpstream,
    touches: TOUCHES,
    said: () => `${upstream.name} is removed.`,
    after: onClose,
  });
  return (
    <Confirm
      title={`Remove ${upstream.name}?`}
      action="Remove upstream"
      busy={remove.isPending}
      onConfirm={() => remove.mutate(upstream.id)}
      onClose={onClose}
    >
      <p>
        New requests no longer go there.{" "}
        {upstream.models.length > 0
          ? `It serves ${modelText(upstream.models)}; a model without another upstream answers 503.`
          : ""}{" "}
        Its past requests and costs stay.
      </p>
      {remove.error ? <p className="wrong">{remove.error.message}</p> : null}
    </Confirm>
  );
}
