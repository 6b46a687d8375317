// Roles: the closed list of what an admin key's holder may do, and where.
// Invariant: every control route names exactly one permission, and only this table says which role has it.

export const ROLES = ["owner", "operator", "developer", "finance", "auditor"] as const;
export type Role = (typeof ROLES)[number];
