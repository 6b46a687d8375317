-- models/registry: public names, their versions, and the artifact behind a version that we serve ourselves.
create table models (
  id text primary key check (id like 'model\_%'),
  organisation_id text not null references organisations (id),
  name text not null,
  owned_by text not null,
  created_at timestamptz not null,
  unique (organisation_id, name)
);
create table model_versions (
  id text primary key check (id like 'version\_%'),
  ref integer generated always as identity unique,
  organisation_id text not null references organisations (id),
  model_id text not null references models (id),
  version text not null,
  context_tokens integer,
  output_tokens_max integer,
  artifact_digest text,
  licence text not null default '',
  created_at timestamptz not null,
  unique (model_id, version)
);
