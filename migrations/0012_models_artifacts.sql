-- models/artifacts: pulls of model files, at most one a model and organisation. A running pull belongs to `taken_by` until
-- `taken_until`, which its worker keeps moving; after that any worker takes it up again.
create table model_pulls (
  organisation_id text not null references organisations (id),
  name text not null,
  state text not null check (state in ('queued', 'running', 'done', 'failed')),
  done_bytes bigint not null default 0 check (done_bytes >= 0),
  total_bytes bigint,
  detail text not null default '',
  asked_by text not null,
  asked_at timestamptz not null,
  taken_by text,
  taken_until timestamptz,
  primary key (organisation_id, name),
  check (state <> 'running' or (taken_by is not null and taken_until is not null))
);
create index model_pulls_open on model_pulls (asked_at) where state in ('queued', 'running');
