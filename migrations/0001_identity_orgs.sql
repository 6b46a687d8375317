-- identity/orgs: firms own organisations, organisations own projects. `ref` is the small integer that facts carry.
create table firms (
  id text primary key check (id like 'firm\_%'),
  ref integer generated always as identity unique,
  name text not null,
  signing_public_key text not null,
  signing_private_sealed bytea not null,
  created_at timestamptz not null
);
create table organisations (
  id text primary key check (id like 'org\_%'),
  ref integer generated always as identity unique,
  firm_id text not null references firms (id),
  name text not null,
  jurisdiction text not null default 'ZZ' check (length(jurisdiction) = 2),
  home_region text not null default 'local',
  home_lane integer not null default 0,
  home_cell text not null default 'local',
  created_at timestamptz not null
);
create table projects (
  id text primary key check (id like 'proj\_%'),
  ref integer generated always as identity unique,
  organisation_id text not null references organisations (id),
  name text not null,
  requests_per_minute integer,
  tokens_per_minute bigint,
  concurrent_streams integer,
  monthly_spend_limit_pico numeric(38, 0),
  created_at timestamptz not null,
  unique (organisation_id, name)
);
