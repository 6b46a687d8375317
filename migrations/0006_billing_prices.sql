-- billing/prices: immutable, effective-dated versions per public model name; amounts in pico-dollars per unit.
create table price_versions (
  id text primary key check (id like 'price\_%'),
  ref integer generated always as identity unique,
  organisation_id text not null references organisations (id),
  model text not null,
  effective_from timestamptz not null,
  source text not null default '',
  created_at timestamptz not null,
  unique (organisation_id, model, effective_from)
);
create table price_lines (
  price_version_id text not null references price_versions (id),
  organisation_id text not null references organisations (id),
  meter text not null,
  pico_per_unit numeric(38, 0) not null check (pico_per_unit >= 0),
  primary key (price_version_id, meter)
);
