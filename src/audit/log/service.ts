// The log's two ends: `audit` writes an outbox row inside a business transaction, `sequence` numbers what has gathered.
// Invariants: one sequencer at a time; leaves, the emptied outbox and the checkpoint come from one transaction; nothing is signed
// on top of leaves that are not the signed ones.

import { sign, type KeyObject } from "node:crypto";
import type { AuditEntry, ChangeDeps } from "../../db/change.types.ts";
import type { Principal } from "../../http/types.ts";
import type { Clock, Dice } from "../../kit/clock.ts";
import { encodeId, idBytes } from "../../kit/id.ts";
import { checkpointText, entryHash, pushLeaf, rootOfEdge, type Hash } from "./rules.ts";
import {
  openAuditStore,
  type AuditTransaction,
  type Checkpoint,
  type NumberedLeaf,
} from "./store.ts";
import { LOG_ID, type AuditList, type AuditQuery } from "./types.ts";

export interface AuditDeps extends Pick<ChangeDeps, "inTransaction"> {
  readonly clock: Clock;
  /** Ed25519; the same pair that signs snapshots. */
  readonly privateKey: KeyObject;
}

export interface AuditService {
  list(asker: Pick<Principal, "organisationId">, query: AuditQuery): Promise<AuditList>;
  /** Numbers what waits, a bounded batch; answers how many. Idempotent, callable from anywhere. Rejects when the log was changed. */
  sequence(): Promise<number>;
}

const BATCH_MAX = 500;

/** The function that every service is handed as `audit`. */
export function openAudit(clock: Clock, dice: Dice) {
  return async (trx: AuditTransaction, entry: AuditEntry): Promise<void> => {
    const id = `audit_${encodeId(idBytes(clock, dice))}`;
    const at = new Date(clock.nowMs()).toISOString();
    await openAuditStore(trx).insertOutbox({ id, at, ...entry });
  };
}

/** The tree's right edge lives only as long as the process; at start it is made again from the leaves. */
interface Tree {
  readonly size: number;
  readonly edge: readonly Hash[];
}

function grow(tree: Tree, leaves: readonly Hash[]): Tree {
  return leaves.reduce<Tree>(
    ({ size, edge }, leaf) => ({ size: size + 1, edge: pushLeaf(edge, size, leaf) }),
    tree,
  );
}

/** Leaves and checkpoint are written together: if they differ, somebody else changed one, and a signature would cover it up. */
function demandUnchanged({ size, edge }: Tree, signed: Checkpoint | undefined): void {
  const root = signed?.root ?? rootOfEdge([]);
  if (size === (signed?.size ?? 0) && Buffer.from(rootOfEdge(edge)).equals(root)) return;
  throw new Error(
    `the log's ${size} leaves are not those of its checkpoint of ${signed?.size ?? 0}: it was changed from outside`,
  );
}

async function sequenceBatch(deps: AuditDeps, known: Tree, trx: AuditTransaction): Promise<Tree> {
  const store = openAuditStore(trx);
  if (!(await store.tryLock())) return known;
  const entries = await store.selectOutbox(BATCH_MAX);
  if (entries.length === 0) return known;
  // Another process may have appended since we last looked.
  const before = grow(known, await store.selectHashes(LOG_ID, known.size));
  demandUnchanged(before, await store.selectCheckpoint(LOG_ID));
  const leaves = entries.map((entry, offset) => ({
    index: before.size + offset,
    leaf: entryHash(entry),
    entry,
  }));
  const after = grow(
    before,
    leaves.map(({ leaf }) => leaf),
  );
  const root = rootOfEdge(after.edge);
  const signature = sign(
    null,
    Buffer.from(checkpointText(LOG_ID, after.size, root)),
    deps.privateKey,
  );
  await store.insertLeaves(LOG_ID, leaves);
  await store.deleteOutbox(entries.map((entry) => entry.id));
  await store.insertCheckpoint(LOG_ID, {
    size: after.size,
    root,
    signature: signature.toString("base64"),
    at: new Date(deps.clock.nowMs()),
  });
  return after;
}

/** The tree commits to the leaf, people read the entry. */
function demandSame({ index, leaf, entry }: NumberedLeaf): void {
  if (Buffer.from(entryHash(entry)).equals(leaf)) return;
  throw new Error(`entry ${index} of the log is not the one that was logged`);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

async function list(
  deps: AuditDeps,
  organisationId: Principal["organisationId"],
  { limit, cursor }: AuditQuery,
): Promise<AuditList> {
  return deps.inTransaction(async (trx) => {
    const store = openAuditStore(trx);
    const before = cursor === undefined ? undefined : Number(cursor);
    const rows = await store.selectPage(organisationId, LOG_ID, limit + 1, before);
    const checkpoint = await store.selectCheckpoint(LOG_ID);
    for (const row of rows) demandSame(row);
    const items = rows.slice(0, limit).map(({ index, entry }) => ({
      index,
      at: entry.at,
      actor: entry.actor,
      action: entry.action,
      subject: entry.subject,
      details: isRecord(entry.details) ? entry.details : {},
    }));
    return {
      logId: LOG_ID,
      checkpoint: checkpoint
        ? {
            size: checkpoint.size,
            root: Buffer.from(checkpoint.root).toString("base64"),
            signature: checkpoint.signature,
            at: checkpoint.at.toISOString(),
          }
        : null,
      items,
      next: rows.length > limit ? String(items.at(-1)?.index) : null,
    };
  });
}

export function createAuditService(deps: AuditDeps): AuditService {
  let tree: Tree = { size: 0, edge: [] };
  return {
    list: ({ organisationId }, query) => list(deps, organisationId, query),
    sequence: async () => {
      const after = await deps.inTransaction((trx) => sequenceBatch(deps, tree, trx));
      const numbered = after.size - tree.size;
      tree = after;
      return numbered;
    },
  };
}
