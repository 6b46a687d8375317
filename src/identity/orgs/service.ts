// Projects and their limits; a firm with its signing key, an organisation and a first project at the very start.
// Invariant: a firm's private signing key exists only sealed, bound to the firm's id.

import { generateKeyPairSync } from "node:crypto";
import type { Transaction } from "kysely";
import type { ChangeDeps } from "../../db/change.types.ts";
import { isUniqueViolation } from "../../db/errors.ts";
import type { DB } from "../../db/schema.gen.ts";
import type { Principal } from "../../http/types.ts";
import type { Clock, Dice } from "../../kit/clock.ts";
import { Fault } from "../../kit/fault.ts";
import { makeId, type FirmId, type OrganisationId, type ProjectId } from "../../kit/id.ts";
import { formatDecimal } from "../../kit/money.ts";
import { seal } from "../../kit/secret.ts";
import { openOrgStore } from "./store.ts";
import type { Project, ProjectChange, ProjectInput, ProjectList, ProjectView } from "./types.ts";

export interface OrgDeps extends ChangeDeps {
  readonly clock: Clock;
  readonly dice: Dice;
}

type Asker = Pick<Principal, "organisationId" | "keyId">;

export interface OrgService {
  list(asker: Asker): Promise<ProjectList>;
  create(asker: Asker, input: ProjectInput): Promise<ProjectView>;
  change(asker: Asker, id: ProjectId, change: ProjectChange): Promise<ProjectView>;
  hasProject(organisationId: OrganisationId, id: ProjectId): Promise<boolean>;
  firmOf(organisationId: OrganisationId): Promise<FirmId>;
}

export interface FirstTenant {
  readonly organisationId: OrganisationId;
  readonly projectId: ProjectId;
}

const NO_LIMITS = { requestsPerMinute: null, tokensPerMinute: null, concurrentStreams: null };

const toView = (project: Project): ProjectView => ({
  id: project.id,
  name: project.name,
  limits: project.limits,
  monthlySpendLimit:
    project.monthlySpendLimitPico === null ? null : formatDecimal(project.monthlySpendLimitPico),
  createdAt: project.createdAt.toISOString(),
});

const auditDetails = (view: ProjectView) => ({
  name: view.name,
  ...view.limits,
  monthlySpendLimit: view.monthlySpendLimit,
});

/** The keys of `change` that were given; `exactOptionalPropertyTypes` cannot see that zod leaves absent ones out. */
function mergeLimits(now: Project["limits"], change: ProjectInput["limits"]): Project["limits"] {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  return { ...now, ...Object.fromEntries(given) };
}

async function create(deps: OrgDeps, asker: Asker, input: ProjectInput): Promise<ProjectView> {
  const { organisationId, keyId } = asker;
  try {
    return await deps.inTransaction(async (trx) => {
      const project = await openOrgStore(trx).insertProject(organisationId, {
        id: makeId("proj", deps.clock, deps.dice),
        name: input.name,
        limits: mergeLimits(NO_LIMITS, input.limits),
        monthlySpendLimitPico: input.monthlySpendLimit,
        createdAt: new Date(deps.clock.nowMs()),
      });
      const view = toView(project);
      const details = auditDetails(view);
      await deps.audit(trx, {
        organisationId,
        actor: keyId,
        action: "project.create",
        subject: view.id,
        details,
      });
      await deps.markSnapshotDirty(trx);
      return view;
    });
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new Fault("entity.exists", {
      message: `there is a project named ${input.name} already`,
      field: "name",
    });
  }
}

async function change(
  deps: OrgDeps,
  asker: Asker,
  id: ProjectId,
  wish: ProjectChange,
): Promise<ProjectView> {
  const { organisationId, keyId } = asker;
  return deps.inTransaction(async (trx) => {
    const store = openOrgStore(trx);
    const now = await store.selectProjectForChange(organisationId, id);
    if (!now) throw new Fault("entity.not_found", { message: `there is no project ${id}` });
    const next: Project = {
      ...now,
      limits: mergeLimits(now.limits, wish.limits),
      monthlySpendLimitPico:
        wish.monthlySpendLimit === undefined ? now.monthlySpendLimitPico : wish.monthlySpendLimit,
    };
    await store.updateLimits(organisationId, next);
    const view = toView(next);
    const details = auditDetails(view);
    await deps.audit(trx, {
      organisationId,
      actor: keyId,
      action: "project.change",
      subject: id,
      details,
    });
    await deps.markSnapshotDirty(trx);
    return view;
  });
}

export function createOrgService(deps: OrgDeps): OrgService {
  return {
    list: async ({ organisationId }) => {
      const projects = await deps.inTransaction((trx) =>
        openOrgStore(trx).selectProjects(organisationId),
      );
      return { items: projects.map(toView), next: null };
    },
    create: (asker, input) => create(deps, asker, input),
    change: (asker, id, wish) => change(deps, asker, id, wish),
    hasProject: (organisationId, id) =>
      deps.inTransaction((trx) => openOrgStore(trx).hasProject(organisationId, id)),
    firmOf: async (organisationId) => {
      const firmId = await deps.inTransaction((trx) =>
        openOrgStore(trx).selectFirmOf(organisationId),
      );
      if (firmId) return firmId;
      throw new Fault("entity.not_found", {
        message: `there is no organisation ${organisationId}`,
      });
    },
  };
}

/** For the seed: undefined when a firm exists already. `credentialKey` seals the firm's signing key. */
export async function createFirstTenant(
  deps: Pick<OrgDeps, "clock" | "dice"> & { readonly credentialKey: Uint8Array },
  trx: Transaction<DB>,
): Promise<FirstTenant | undefined> {
  const store = openOrgStore(trx);
  if (await store.hasFirm()) return undefined;
  const at = new Date(deps.clock.nowMs());
  const firmId = makeId("firm", deps.clock, deps.dice);
  const organisationId = makeId("org", deps.clock, deps.dice);
  const projectId = makeId("proj", deps.clock, deps.dice);
  const pair = generateKeyPairSync("ed25519");
  const secret = pair.privateKey.export({ type: "pkcs8", format: "der" });
  const firm = {
    id: firmId,
    name: "Local firm",
    signingPublicKey: pair.publicKey.export({ type: "spki", format: "der" }).toString("base64"),
    signingPrivateSealed: seal(deps.credentialKey, firmId, secret),
  };
  await store.insertFirm(firm, at);
  await store.insertOrganisation(firmId, organisationId, "Local", at);
  await store.insertProject(organisationId, {
    id: projectId,
    name: "default",
    limits: NO_LIMITS,
    monthlySpendLimitPico: null,
    createdAt: at,
  });
  return { organisationId, projectId };
}

/** Undefined before the first set-up. */
export function findFirstTenant(trx: Transaction<DB>): Promise<FirstTenant | undefined> {
  return openOrgStore(trx).selectFirstTenant();
}

/** For budgets: projects by their refs; an unknown ref is absent. */
export function selectProjectIds(
  trx: Transaction<DB>,
  refs: readonly number[],
): Promise<ReadonlyMap<number, ProjectId>> {
  return openOrgStore(trx).selectProjectIds(refs);
}
