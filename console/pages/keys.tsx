// Keys: create with limits, shown once; revoke with the consequence said first.

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, queries } from "../api.ts";
import type { Key, KeyCreate, Project, UsageRow } from "../api.types.ts";
import { useChange, useMay } from "../app/access.ts";
import { addDays, dayOf, instantOf, startOfDay } from "../days.ts";
import { count, moneyColumn, toPico } from "../format.ts";
import { useSettings } from "../settings.ts";
import { Answer, Empty } from "../ui/answer.tsx";
import { Badge, Button, CodeBlock, Choices } from "../ui/controls.tsx";
import { Confirm, Dialog } from "../ui/dialog.tsx";
import { Form, Input, LimitFields, limitsOf, Select, textOf } from "../ui/form.tsx";
import { Money, Page, Time } from "../ui/page.tsx";
import { Table } from "../ui/table.tsx";

const route = getRouteApi("/app/keys");
const LIVE_MS = 10_000;
const ROLES = ["owner", "operator", "developer", "finance", "auditor"] as const;
const KINDS: readonly (readonly [KeyCreate["kind"], string])[] = [
  ["live", "live: calls models"],
  ["test", "test: calls models, counted apart"],
  ["admin", "admin: signs in to this console and the CLI"],
];

export function KeysPage() {
  const { add, all, find } = route.useSearch();
  const navigate = useNavigate({ from: "/keys" });
  const may = useMay("keys.write");
  const keys = useQuery(queries.keys());
  const projects = useQuery(queries.projects());
  const used = useUsed();
  const [revoking, setRevoking] = useState<Key>();
  const openAdd = (open: boolean) =>
    void navigate({ search: (old) => ({ ...old, add: open || undefined }), replace: !open });
  const shown = (keys.data?.items ?? []).filter(
    (key) =>
      key.kind !== "play" &&
      (all || key.revokedAt === null) &&
      (!find || key.name.toLowerCase().includes(find.toLowerCase())),
  );
  return (
    <Page
      title="Keys"
      lede="One for each program. A secret is shown once and kept only as a fingerprint."
      actions={
        may ? (
          <Button look="primary" onClick={() => openAdd(true)}>
            Create key
          </Button>
        ) : null
      }
    >
      <search className="tools">
        <label>
          <span>Find</span>
          <input
            data-filter
            type="search"
            value={find ?? ""}
            onChange={(event) =>
              void navigate({
                search: (old) => ({ ...old, find: event.target.value || undefined }),
                replace: true,
              })
            }
          />
        </label>
        <Choices
          label="Which keys"
          choices={[
            { label: "In use", active: !all, search: { all: undefined } },
            { label: "With revoked", active: all === true, search: { all: true } },
          ]}
        />
      </search>
      <Answer query={keys}>
        {({ items }) =>
          shown.length === 0 ? (
            <Empty
              title={items.length === 0 ? "No keys yet" : "No key matches"}
              action={
                may ? (
                  <Button look="primary" onClick={() => openAdd(true)}>
                    Create key
                  </Button>
                ) : null
              }
            >
              A program needs a live key to call models.
            </Empty>
          ) : (
            <KeyTable
              keys={shown}
              projects={projects.data?.items ?? []}
              used={used}
              onRevoke={may ? setRevoking : undefined}
            />
          )
        }
      </Answer>
      {add ? (
        <CreateKey projects={projects.data?.items ?? []} onClose={() => openAdd(false)} />
      ) : null}
      {revoking ? <Revoke target={revoking} onClose={() => setRevoking(undefined)} /> : null}
    </Page>
  );
}

interface KeyTableProps {
  readonly keys: readonly Key[];
  readonly projects: readonly Project[];
  readonly used: Used;
  readonly onRevoke: ((key: Key) => void) | undefined;
}

interface Used {
  readonly from: string;
  readonly rows: readonly UsageRow[] | undefined;
}

/** What each key did in the last 30 days. */
function useUsed(): Used {
  const { timeZone } = useSettings();
  const today = dayOf(Date.now(), timeZone);
  const [from, to] = [addDays(today, -29), addDays(today, 1)].map((day) =>
    new Date(startOfDay(day, timeZone)).toISOString(),
  );
  const usage = useQuery({
    ...queries.usage(from ?? "", to ?? "", "key", timeZone),
    enabled: useMay("usage.read"),
    refetchInterval: LIVE_MS,
  });
  return { from: from ?? "", rows: usage.data?.rows };
}

function KeyTable({ keys, projects, used, onRevoke }: KeyTableProps) {
  const usedBy = (key: Key) => used.rows?.find((row) => row.group === key.id);
  const spend = moneyColumn((used.rows ?? []).map((row) => toPico(row.amount)));
  const projectName = (id: string) => projects.find((project) => project.id === id)?.name ?? id;
  return (
    <Table
      caption="Keys"
      rows={keys}
      rowId={(key) => key.id}
      columns={[
        {
          head: "Name",
          cell: (key) => (
            <Link className="name" to="/requests" search={{ keyId: key.id }}>
              {key.name}
            </Link>
          ),
        },
        { head: "Kind", wide: true, cell: (key) => (key.role ? `admin, ${key.role}` : key.kind) },
        { head: "State", cell: (key) => <KeyState target={key} /> },
        { head: "Project", wide: true, cell: (key) => projectName(key.projectId) },
        { head: "Limits", wide: true, cell: limitText },
        {
          head: "Requests, 30 days",
          align: "end",
          wide: true,
          cell: (key) => <Calls row={usedBy(key)} keyId={key.id} from={used.from} />,
        },
        {
          head: "Spend",
          align: "end",
          wide: true,
          cell: (key) => <Money amount={usedBy(key)?.amount ?? "0"} show={spend} />,
        },
        { head: "Created", wide: true, cell: (key) => <Time at={key.createdAt} style="day" /> },
        {
          head: "Actions",
          align: "end",
          cell: (key) =>
            onRevoke && key.revokedAt === null ? (
              <Button look="quiet" onClick={() => onRevoke(key)} aria-label={`Revoke ${key.name}`}>
                Revoke
              </Button>
            ) : null,
        },
      ]}
    />
  );
}

function Calls({ row, keyId, from }: { row: UsageRow | undefined; keyId: string; from: string }) {
  if (!row) return <>0</>;
  return (
    <Link to="/requests" search={{ keyId, from }}>
      {count(row.requests)}
    </Link>
  );
}

function KeyState({ target }: { target: Key }) {
  if (target.revokedAt)
    return (
      <Badge tone="bad">
        Revoked <Time at={target.revokedAt} style="day" />
      </Badge>
    );
  if (target.expiresAt && Date.parse(target.expiresAt) < Date.now())
    return (
      <Badge tone="bad">
        Expired <Time at={target.expiresAt} style="day" />
      </Badge>
    );
  if (target.expiresAt)
    return (
      <Badge tone="warn">
        Until <Time at={target.expiresAt} style="day" />
      </Badge>
    );
  return <Badge tone="ok">In use</Badge>;
}

function limitText({ limits }: Pick<Key, "limits">): string {
  const parts = [
    limits.requestsPerMinute === null ? "" : `${count(limits.requestsPerMinute)} requests/min`,
    limits.tokensPerMinute === null ? "" : `${count(limits.tokensPerMinute)} tokens/min`,
    limits.concurrentStreams === null ? "" : `${count(limits.concurrentStreams)} streams`,
  ].filter(Boolean);
  return parts.join(", ") || "none of its own";
}

function CreateKey({ projects, onClose }: { projects: readonly Project[]; onClose: () => void }) {
  const { timeZone } = useSettings();
  const [kind, setKind] = useState<KeyCreate["kind"]>("live");
  const create = useChange({ run: api.createKey, touches: ["/keys"] });
  if (create.data)
    return <NewKey token={create.data.token} name={create.data.key.name} onClose={onClose} />;
  const submit = (fields: FormData) => {
    const expires = textOf(fields, "expiresAt");
    create.mutate({
      name: textOf(fields, "name"),
      kind,
      ...(kind === "admin"
        ? { role: ROLES.find((role) => role === textOf(fields, "role")) }
        : { limits: limitsOf(fields) }),
      ...(textOf(fields, "projectId") ? { projectId: textOf(fields, "projectId") } : {}),
      ...(expires ? { expiresAt: new Date(instantOf(expires, timeZone)).toISOString() } : {}),
    });
  };
  return (
    <Dialog title="Create key" onClose={onClose}>
      <Form
        action="Create key"
        busy={create.isPending}
        error={create.error}
        onSubmit={submit}
        onCancel={onClose}
      >
        <Input
          label="Name"
          name="name"
          required
          maxLength={100}
          autoFocus
          placeholder="checkout-service"
          hint="What will use it."
          error={create.error}
        />
        <Select
          label="Kind"
          name="kind"
          value={kind}
          onChange={(event) =>
            setKind(KINDS.find(([name]) => name === event.target.value)?.[0] ?? "live")
          }
          options={KINDS}
          error={create.error}
        />
        {kind === "admin" ? (
          <Select
            label="Role"
            name="role"
            options={ROLES.map((role) => [role, role])}
            defaultValue="developer"
            error={create.error}
          />
        ) : (
          <LimitFields error={create.error} />
        )}
        <Select
          label="Project"
          name="projectId"
          options={projects.map((project) => [project.id, project.name])}
          error={create.error}
        />
        <Input
          label="Expires"
          name="expiresAt"
          type="datetime-local"
          hint={`Empty: never. Time of ${timeZone}.`}
          error={create.error}
        />
      </Form>
    </Dialog>
  );
}

function NewKey({ token, name, onClose }: { token: string; name: string; onClose: () => void }) {
  return (
    <Dialog title={`Key ${name}`} onClose={onClose}>
      <p className="note">Copy it now: it is shown only this once, and Intertie keeps no copy.</p>
      <CodeBlock label="key" code={token} />
      <footer>
        <Button look="primary" onClick={onClose}>
          I have kept it
        </Button>
      </footer>
    </Dialog>
  );
}

function Revoke({ target, onClose }: { target: Key; onClose: () => void }) {
  const revoke = useChange({
    run: api.revokeKey,
    touches: ["/keys"],
    said: () => `${target.name} is revoked.`,
    after: onClose,
  });
  return (
    <Confirm
      title={`Revoke ${target.name}?`}
      action="Revoke key"
      busy={revoke.isPending}
      onConfirm={() => revoke.mutate(target.id)}
      onClose={onClose}
    >
      <p>
        Every gateway refuses it within 5 seconds. Streams that are running go on to their end. This
        cannot be undone.
      </p>
      {revoke.error ? <p className="wrong">{revoke.error.message}</p> : null}
    </Confirm>
  );
}
