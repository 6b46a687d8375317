-- zones/topology: zones, pools, engines (people add them as upstreams), and which model version is served where.
create table zones (
  id text primary key check (id like 'zone\_%'),
  ref integer generated always as identity unique,
  organisation_id text not null references organisations (id),
  name text not null,
  region text not null,
  jurisdiction text not null default 'ZZ' check (length(jurisdiction) = 2),
  created_at timestamptz not null,
  unique (organisation_id, name)
);
create table pools (
  id text primary key check (id like 'pool\_%'),
  organisation_id text not null references organisations (id),
  zone_id text not null references zones (id),
  name text not null,
  accelerator text not null,
  created_at timestamptz not null,
  unique (zone_id, name)
);
create table engines (
  id text primary key check (id like 'engine\_%'),
  ref integer generated always as identity unique,
  organisation_id text not null references organisations (id),
  pool_id text not null references pools (id),
  name text not null,
  kind text not null check (kind in ('embedded', 'openai')),
  base_url text not null,
  credential_sealed bytea,
  allow_private_address boolean not null default false,
  enabled boolean not null default true,
  removed_at timestamptz,
  created_at timestamptz not null
);
create unique index engines_by_name on engines (organisation_id, name) where removed_at is null;
create table deployments (
  engine_id text not null references engines (id),
  model_version_id text not null references model_versions (id),
  organisation_id text not null references organisations (id),
  upstream_model text not null,
  created_at timestamptz not null,
  primary key (engine_id, model_version_id)
);
create table engine_probes (
  engine_id text primary key references engines (id),
  ok boolean not null,
  detail text not null,
  latency_ms integer not null,
  at timestamptz not null
);
