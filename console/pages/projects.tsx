// Projects: their limits, and this month's spend against the limit that the gateways enforce.

import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, useNavigate } from "@tanstack/react-router";
import { api, queries } from "../api.ts";
import type { Project } from "../api.types.ts";
import { useChange, useMay } from "../app/access.ts";
import { monthOf } from "../days.ts";
import { count, moneyColumn, share, toPico } from "../format.ts";
import { Answer, Empty } from "../ui/answer.tsx";
import { Badge, Button } from "../ui/controls.tsx";
import { Dialog } from "../ui/dialog.tsx";
import { Form, Input, LimitFields, limitsOf, textOf } from "../ui/form.tsx";
import { Money, Page } from "../ui/page.tsx";

const route = getRouteApi("/app/projects");
const LIVE_MS = 10_000;

export function ProjectsPage() {
  const { add, edit } = route.useSearch();
  const navigate = useNavigate({ from: "/projects" });
  const may = useMay("projects.write");
  const projects = useQuery(queries.projects());
  const [from, to] = monthOf(Date.now());
  const usage = useQuery({ ...queries.usage(from, to, "project"), refetchInterval: LIVE_MS });
  const show = (search: { add?: true; edit?: string }) => void navigate({ search });
  const edited = projects.data?.items.find((project) => project.id === edit);
  const button = may ? (
    <Button look="primary" onClick={() => show({ add: true })}>
      Create project
    </Button>
  ) : null;
  return (
    <Page
      title="Projects"
      lede="A project owns keys and a budget. Spend limits count the calendar month, in UTC."
      asOf={usage.dataUpdatedAt || undefined}
      actions={button}
    >
      <Answer query={projects}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No projects" action={button}>
              Keys belong to a project.
            </Empty>
          ) : (
            <ul className="cards">
              {items.map((project) => (
                <ProjectCard
                  key={project.id}
                  project={project}
                  from={from}
                  spent={usage.data?.rows.find((row) => row.group === project.id)?.amount ?? "0"}
                  onEdit={may ? () => show({ edit: project.id }) : undefined}
                />
              ))}
            </ul>
          )
        }
      </Answer>
      {add ? <CreateProject onClose={() => show({})} /> : null}
      {edited ? <EditProject project={edited} onClose={() => show({})} /> : null}
    </Page>
  );
}

interface CardProps {
  readonly project: Project;
  readonly spent: string;
  readonly from: string;
  readonly onEdit: (() => void) | undefined;
}

function ProjectCard({ project, spent, from, onEdit }: CardProps) {
  const { limits } = project;
  const limit = (value: number | null) => (value === null ? "no limit" : count(value));
  return (
    <li className="card">
      <header>
        <h2>{project.name}</h2>
        {onEdit ? (
          <Button look="quiet" aria-label={`Change limits of ${project.name}`} onClick={onEdit}>
            Change limits
          </Button>
        ) : null}
      </header>
      <Budget project={project} spent={spent} from={from} />
      <dl className="pairs">
        <div>
          <dt>Requests a minute</dt>
          <dd>{limit(limits.requestsPerMinute)}</dd>
        </div>
        <div>
          <dt>Tokens a minute</dt>
          <dd>{limit(limits.tokensPerMinute)}</dd>
        </div>
        <div>
          <dt>Streams at once</dt>
          <dd>{limit(limits.concurrentStreams)}</dd>
        </div>
      </dl>
    </li>
  );
}

function Budget({ project, spent, from }: { project: Project; spent: string; from: string }) {
  const limit = project.monthlySpendLimit;
  const show = moneyColumn([spent, limit ?? "0"].map(toPico));
  const figure = (
    <Link className="figure" to="/requests" search={{ projectId: project.id, from }}>
      <Money amount={spent} show={show} />
    </Link>
  );
  if (limit === null) return <p className="budget">{figure} this month, no limit</p>;
  const [used, all] = [Number(toPico(spent)), Number(toPico(limit))];
  const full = used / all;
  return (
    <div className="budget">
      <p>
        {figure} of {show(toPico(limit))} this month, {share(used, all)}{" "}
        {full >= 1 ? (
          <Badge tone="bad">Used up</Badge>
        ) : full >= 0.8 ? (
          <Badge tone="warn">Nearly used up</Badge>
        ) : null}
      </p>
      <meter
        aria-label={`Budget of ${project.name} used`}
        min={0}
        max={all}
        value={Math.min(used, all)}
        low={all * 0.8}
        high={all * 0.99}
        optimum={0}
      />
    </div>
  );
}

function CreateProject({ onClose }: { onClose: () => void }) {
  const create = useChange({
    run: api.createProject,
    touches: ["/projects"],
    said: (project: Project) => `${project.name} is created.`,
    after: onClose,
  });
  return (
    <Dialog title="Create project" onClose={onClose}>
      <Form
        action="Create project"
        busy={create.isPending}
        error={create.error}
        onCancel={onClose}
        onSubmit={(fields) => create.mutate({ name: textOf(fields, "name") })}
      >
        <Input label="Name" name="name" required maxLength={100} autoFocus error={create.error} />
      </Form>
    </Dialog>
  );
}

function EditProject({ project, onClose }: { project: Project; onClose: () => void }) {
  const change = useChange({
    run: (fields: FormData) =>
      api.changeProject(project.id, {
        limits: limitsOf(fields),
        monthlySpendLimit: textOf(fields, "monthlySpendLimit") || null,
      }),
    touches: ["/projects"],
    said: () => `Limits of ${project.name} are changed.`,
    after: onClose,
  });
  return (
    <Dialog title={`Limits of ${project.name}`} onClose={onClose}>
      <Form
        action="Save limits"
        busy={change.isPending}
        error={change.error}
        onCancel={onClose}
        onSubmit={change.mutate}
      >
        <Input
          label="Spend a month, in dollars"
          name="monthlySpendLimit"
          inputMode="decimal"
          pattern="\d{1,9}(\.\d{1,6})?"
          defaultValue={project.monthlySpendLimit ?? ""}
          hint="Empty: no limit. A request that could go over it is refused before it is sent."
          error={change.error}
        />
        <LimitFields limits={project.limits} error={change.error} />
      </Form>
    </Dialog>
  );
}
