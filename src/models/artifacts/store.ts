// SQL of pulls. Rows in, rows out; the organisation comes first, except where the worker looks for work of any.

import { sql, type Kysely, type Selectable } from "kysely";
import type { DB } from "../../db/schema.gen.ts";
import { asId, type OrganisationId } from "../../kit/id.ts";
import type { Pull, PullState } from "./types.ts";

/** Who works on a pull, and until when nobody else may. */
export interface Hold {
  readonly worker: string;
  readonly until: Date;
}

export interface Asked {
  /** A key's id. */
  readonly by: string;
  readonly at: Date;
}

type PullRow = Selectable<DB["model_pulls"]>;

const toPull = (row: PullRow): Pull => ({
  organisationId: asId(row.organisation_id),
  name: row.name,
  // The table's check allows these four only.
  state: row.state as PullState,
  doneBytes: Number(row.done_bytes),
  totalBytes: row.total_bytes === null ? null : Number(row.total_bytes),
  detail: row.detail,
  askedBy: row.asked_by,
});

type PullDb = Kysely<Pick<DB, "model_pulls">>;

async function selectForChange(
  db: PullDb,
  organisationId: OrganisationId,
  name: string,
): Promise<Pull | undefined> {
  const row = await db
    .selectFrom("model_pulls")
    .selectAll()
    .where("organisation_id", "=", organisationId)
    .where("name", "=", name)
    .forUpdate()
    .executeTakeFirst();
  return row && toPull(row);
}

async function insertQueued(
  db: PullDb,
  organisationId: OrganisationId,
  name: string,
  asked: Asked,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows } = await db
    .insertInto("model_pulls")
    .values({
      organisation_id: organisationId,
      name,
      state: "queued",
      asked_by: asked.by,
      asked_at: asked.at,
    })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows === 1n;
}

async function updateQueued(
  db: PullDb,
  organisationId: OrganisationId,
  name: string,
  asked: Asked,
): Promise<void> {
  await db
    .updateTable("model_pulls")
    .set({ state: "queued", detail: "", asked_by: asked.by, asked_at: asked.at })
    .where("organisation_id", "=", organisationId)
    .where("name", "=", name)
    .execute();
}

async function takeNext(db: PullDb, { worker, until }: Hold, at: Date): Promise<Pull | undefined> {
  await sql`select pg_advisory_xact_lock(hashtext('model_pulls'))`.execute(db);
  const { rows } = await sql<PullRow>`
    update model_pulls set state = 'running', taken_by = ${worker}, taken_until = ${until}
    where (organisation_id, name) = (
      select organisation_id, name from model_pulls wanted
      where (state = 'queued' or (state = 'running' and taken_until < ${at}))
        and not exists (
          select from model_pulls busy where busy.name = wanted.name
            and busy.state = 'running' and busy.taken_until >= ${at})
      order by asked_at limit 1 for update skip locked)
    returning *`.execute(db);
  return rows[0] && toPull(rows[0]);
}

async function updateHeld(db: PullDb, pull: Pull, { worker, until }: Hold): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable("model_pulls")
    .set({
      state: pull.state,
      done_bytes: pull.doneBytes,
      total_bytes: pull.totalBytes,
      detail: pull.detail,
      taken_until: until,
    })
    .where("organisation_id", "=", pull.organisationId)
    .where("name", "=", pull.name)
    .where("state", "=", "running")
    .where("taken_by", "=", worker)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
}

export interface PullStore {
  /** The last asked first. */
  selectPulls(organisationId: OrganisationId): Promise<Pull[]>;
  /** Locked until the transaction ends. */
  selectForChange(organisationId: OrganisationId, name: string): Promise<Pull | undefined>;
  /** False when there is one already. */
  insertQueued(organisationId: OrganisationId, name: string, asked: Asked): Promise<boolean>;
  updateQueued(organisationId: OrganisationId, name: string, asked: Asked): Promise<void>;
  /**
   * The oldest one that waits, or whose worker has not been heard of in time; it is the worker's from now on.
   * One file is fetched by one worker at a time, whoever asked for it, so takers go one after the other.
   */
  takeNext(hold: Hold, at: Date): Promise<Pull | undefined>;
  /** False when it is no longer this worker's. */
  updateHeld(pull: Pull, hold: Hold): Promise<boolean>;
}

export function openPullStore(all: Kysely<DB>): PullStore {
  const db: PullDb = all.$pickTables<"model_pulls">();
  return {
    selectPulls: async (organisationId) => {
      const rows = await db
        .selectFrom("model_pulls")
        .selectAll()
        .where("organisation_id", "=", organisationId)
        .orderBy("asked_at", "desc")
        .orderBy("name")
        .execute();
      return rows.map(toPull);
    },
    selectForChange: (organisationId, name) => selectForChange(db, organisationId, name),
    insertQueued: (organisationId, name, asked) => insertQueued(db, organisationId, name, asked),
    updateQueued: (organisationId, name, asked) => updateQueued(db, organisationId, name, asked),
    takeNext: (hold, at) => takeNext(db, hold, at),
    updateHeld: (pull, hold) => updateHeld(db, pull, hold),
  };
}
