// Roles: the closed list of what an admin key's holder may do, and where.
// Invariant: every control route names exactly one permission, and only this table says which role has it.

export const ROLES = ['owner', 'operator', 'developer', 'finance', 'auditor'] as const;
export type Role = (typeof ROLES)[number];

export const PERMISSIONS = [
  'keys.read', 'keys.write',
  'projects.read', 'projects.write',
  'upstreams.read', 'upstreams.write',
  'models.read', 'models.write',
  'prices.read', 'prices.write',
  'usage.read', 'requests.read',
  'zones.read',
  'audit.read',
  'playground.use',
  'system.read', 'system.write',
] as const;
export type Permission = (typeof PERMISSIONS)[number];
