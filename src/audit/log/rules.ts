// RFC 6962 Merkle tree: hashes, inclusion and consistency proofs, and their verification. Pure.
// Invariant: leaves and inner nodes are hashed with different first bytes, so that neither can be passed off as the other.

import { createHash } from "node:crypto";
import type { LoggedEntry } from "./types.ts";

export type Hash = Uint8Array;

function sha256(...parts: readonly Uint8Array[]): Hash {
  const digest = createHash("sha256");
  for (const part of parts) digest.update(part);
  return new Uint8Array(digest.digest());
}

const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);

export const leafHash = (data: Uint8Array): Hash => sha256(LEAF, data);
export const nodeHash = (left: Hash, right: Hash): Hash => sha256(NODE, left, right);

/** Keys sorted, no spaces: the same entry gives the same bytes everywhere. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
  return `{${pairs.map(([key, each]) => `${JSON.stringify(key)}:${canonicalJson(each)}`).join(",")}}`;
}

export const entryHash = (entry: LoggedEntry): Hash =>
  leafHash(new TextEncoder().encode(canonicalJson(entry)));

/** The largest power of two below `size`: where RFC 6962 splits. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/** Over leaf hashes; the empty tree is the hash of nothing. */
export function rootOf(leaves: readonly Hash[]): Hash {
  if (leaves.length === 0) return sha256();
  if (leaves.length === 1) return leaves[0] ?? sha256();
  const split = splitOf(leaves.length);
  return nodeHash(rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)));
}

/** The siblings from leaf `index` up to the root. */
export function inclusionProof(index: number, leaves: readonly Hash[]): Hash[] {
  if (leaves.length <= 1) return [];
  const split = splitOf(leaves.length);
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
  return index < split
    ? [...inclusionProof(index, left), rootOf(right)]
    : [...inclusionProof(index - split, right), rootOf(left)];
}

/** Shows that the tree of the first `oldSize` leaves is a beginning of this one. */
export function consistencyProof(oldSize: number, leaves: readonly Hash[]): Hash[] {
  return subProof(oldSize, leaves, true);
}

function subProof(oldSize: number, leaves: readonly Hash[], whole: boolean): Hash[] {
  if (oldSize === leaves.length) return whole ? [] : [rootOf(leaves)];
  const split = splitOf(leaves.length);
  const [left, right] = [leaves.slice(0, split), leaves.slice(split)];
  return oldSize <= split
    ? [...subProof(oldSize, left, whole), rootOf(right)]
    : [...subProof(oldSize - split, right, false), rootOf(left)];
}

const same = (left: Hash, right: Hash) => Buffer.from(left).equals(Buffer.from(right));

/** RFC 9162, 2.1.3.2. */
export function verifyInclusion(
  leaf: Hash,
  index: number,
  size: number,
  proof: readonly Hash[],
  root: Hash,
): boolean {
  if (index < 0 || index >= size) return false;
  let [at, last] = [index, size - 1];
  let hash = leaf;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      hash = nodeHash(sibling, hash);
      while (at % 2 === 0 && at !== 0) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
    } else hash = nodeHash(hash, sibling);
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && same(hash, root);
}

/** RFC 9162, 2.1.4.2. */
export function verifyConsistency(
  oldSize: number,
  newSize: number,
  oldRoot: Hash,
  newRoot: Hash,
  proof: readonly Hash[],
): boolean {
  if (oldSize < 1 || oldSize > newSize) return false;
  if (oldSize === newSize) return proof.length === 0 && same(oldRoot, newRoot);
  let [at, last] = [oldSize - 1, newSize - 1];
  while (at % 2 === 1) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  // A power of two is a whole subtree: its root is known and not sent.
  const [first, ...rest] = at === 0 ? [oldRoot, ...proof] : proof;
  if (!first) return false;
  let [oldHash, newHash] = [first, first];
  for (const sibling of rest) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      oldHash = nodeHash(sibling, oldHash);
      newHash = nodeHash(sibling, newHash);
      while (at % 2 === 0 && at !== 0) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
    } else newHash = nodeHash(newHash, sibling);
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return last === 0 && same(oldHash, oldRoot) && same(newHash, newRoot);
}

/** What a checkpoint's signature covers. */
export const checkpointText = (logId: string, size: number, root: Hash): string =>
  `${logId}\n${size}\n${Buffer.from(root).toString("base64")}\n`;

/** Right edge of the tree: the roots of its full subtrees, largest first. Adding a leaf needs no other hash. */
export function pushLeaf(edge: readonly Hash[], size: number, leaf: Hash): Hash[] {
  const next = [...edge];
  let hash = leaf;
  for (let rest = size; rest % 2 === 1; rest = Math.floor(rest / 2)) {
    const left = next.pop();
    if (left) hash = nodeHash(left, hash);
  }
  return [...next, hash];
}

export function rootOfEdge(edge: readonly Hash[]): Hash {
  const [last, ...rest] = edge.toReversed();
  return last ? rest.reduce((hash, left) => nodeHash(left, hash), last) : rootOf([]);
}
