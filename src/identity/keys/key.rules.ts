// Who may hand out or take away which key, and whether a presented key still counts. Pure.
// Invariant: nobody can make or take away an admin key that may do more than they may.

import type { Permission } from "../../http/types.ts";
import { refuse, type Refusal } from "../../kit/fault.ts";
import { permissionsOf } from "../roles/rules.ts";
import type { Role } from "../roles/types.ts";
import type { Key } from "./types.ts";

export function judgeRole(
  held: ReadonlySet<Permission>,
  role: Role | null,
): Refusal | { readonly ok: true } {
  const beyond = role === null ? undefined : permissionsOf(role).find((each) => !held.has(each));
  if (beyond === undefined) return { ok: true };
  return refuse(
    "permission.denied",
    `the role ${String(role)} may do more than you (${beyond}), so its keys are not yours to make or revoke`,
    { field: "role" },
  );
}

export function judgeValidity(
  key: Pick<Key, "revokedAt" | "expiresAt">,
  nowMs: number,
): Refusal | { readonly ok: true } {
  if (key.revokedAt) return refuse("key.revoked", "this key was revoked");
  if (key.expiresAt && key.expiresAt.getTime() <= nowMs)
    return refuse("key.expired", "this key has expired");
  return { ok: true };
}
