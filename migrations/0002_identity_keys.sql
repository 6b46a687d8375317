-- identity/keys: HMACs of tokens, never tokens; console links and sessions hang on admin keys.
create table keys (
  id text primary key check (id like 'key\_%'),
  ref integer generated always as identity unique,
  organisation_id text not null references organisations (id),
  project_id text not null references projects (id),
  kind text not null check (kind in ('live', 'test', 'admin', 'play')),
  role text check (role in ('owner', 'operator', 'developer', 'finance', 'auditor')),
  name text not null,
  hmac bytea not null,
  requests_per_minute integer,
  tokens_per_minute bigint,
  concurrent_streams integer,
  expires_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null,
  check ((kind = 'admin') = (role is not null))
);
create index keys_by_organisation on keys (organisation_id, created_at desc);
create table console_links (
  hash bytea primary key,
  key_id text not null references keys (id),
  expires_at timestamptz not null,
  used_at timestamptz
);
create table console_sessions (
  hash bytea primary key,
  key_id text not null references keys (id),
  csrf_hash bytea not null,
  expires_at timestamptz not null,
  created_at timestamptz not null
);
