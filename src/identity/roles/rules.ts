// Which role may do what. Pure: a table and one look-up.

import { PERMISSIONS, type Permission } from "../../http/types.ts";
import type { Role } from "./types.ts";

const READ = PERMISSIONS.filter((permission) => permission.endsWith(".read"));

const GRANTS: Readonly<Record<Role, readonly Permission[]>> = {
  owner: PERMISSIONS,
  operator: [
    ...READ,
    "keys.write",
    "projects.write",
    "upstreams.write",
    "models.write",
    "playground.use",
    "system.write",
  ],
  developer: [
    "keys.read",
    "keys.write",
    "projects.read",
    "models.read",
    "usage.read",
    "requests.read",
    "zones.read",
    "playground.use",
  ],
  finance: [
    "projects.read",
    "prices.read",
    "prices.write",
    "usage.read",
    "requests.read",
    "models.read",
  ],
  auditor: READ,
};

export function permits(role: Role, permission: Permission): boolean {
  return GRANTS[role].includes(permission);
}

export function permissionsOf(role: Role): readonly Permission[] {
  return GRANTS[role];
}
