-- audit/log: a business transaction inserts an outbox row; one sequencer numbers them and publishes checkpoints.
create table audit_outbox (
  id text primary key,
  organisation_id text not null,
  actor text not null,
  action text not null,
  subject text not null,
  details jsonb not null,
  at timestamptz not null
);
create table audit_leaves (
  log_id text not null,
  index bigint not null,
  outbox_id text not null,
  organisation_id text not null,
  leaf bytea not null,
  entry jsonb not null,
  primary key (log_id, index)
);
create index audit_leaves_by_organisation on audit_leaves (organisation_id, index desc);
create table audit_checkpoints (
  log_id text not null,
  size bigint not null,
  root bytea not null,
  signature text not null,
  at timestamptz not null,
  primary key (log_id, size)
);
