-- snapshot/publish: the one counter that gives snapshot numbers, and the last manifests with their section bodies.
create sequence snapshot_sequence;
create table snapshot_manifests (
  sequence bigint primary key,
  changed bigint not null,
  manifest jsonb not null,
  compiled_at timestamptz not null
);
create table snapshot_sections (
  digest text primary key,
  body bytea not null
);
create table snapshot_dirty (
  only_row boolean primary key default true check (only_row),
  changed bigint not null default 1
);
insert into snapshot_dirty default values;
