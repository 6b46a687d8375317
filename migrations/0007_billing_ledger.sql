-- billing/ledger: received segments, the posting cursor, rated facts, and balanced entries per segment.
-- `segments` is the embedded SegmentStore; facts refer to (gateway, lane, sequence, index) and need no other id.
create table ledger_cursors (
  gateway text not null,
  lane integer not null,
  epoch integer not null default 0,
  received integer not null default 0,
  received_digest text not null default repeat('0', 64),
  posted integer not null default 0,
  frozen_reason text,
  primary key (gateway, lane)
);
create table gateways (
  id text primary key check (id like 'gw\_%'),
  epoch integer not null,
  cell text not null,
  address text not null,
  product_version text not null,
  opened_at timestamptz not null,
  seen_at timestamptz not null
);
create table segments (
  gateway text not null,
  lane integer not null,
  sequence integer not null,
  digest text not null,
  record_count integer not null,
  bytes bytea not null,
  received_at timestamptz not null,
  primary key (gateway, lane, sequence)
);
create table facts (
  gateway text not null,
  lane integer not null,
  sequence integer not null,
  index integer not null,
  request_id text not null,
  organisation_ref integer not null,
  firm_ref integer not null,
  project_ref integer not null,
  key_ref integer not null,
  model_version_ref integer not null,
  zone_ref integer not null,
  engine_ref integer not null,
  price_version_ref integer not null,
  snapshot_sequence bigint not null,
  attempt smallint not null,
  attempt_kind text not null,
  endpoint text not null,
  status text not null,
  http_status smallint not null,
  streamed boolean not null,
  served_tier text not null,
  caller_jurisdiction text not null,
  zone_jurisdiction text not null,
  started_at timestamptz not null,
  first_byte_ms integer not null,
  duration_ms integer not null,
  upstream_request_id text not null,
  quantities jsonb not null,
  amount_pico numeric(38, 0) not null,
  primary key (gateway, lane, sequence, index)
);
create index facts_by_time on facts (organisation_ref, started_at desc);
create index facts_by_request on facts (request_id);
create table ledger_entries (
  gateway text not null,
  lane integer not null,
  sequence integer not null,
  account text not null,
  organisation_ref integer not null,
  project_ref integer not null,
  model_version_ref integer not null,
  price_version_ref integer not null,
  fact_count integer not null,
  amount_pico numeric(38, 0) not null,
  posted_at timestamptz not null,
  primary key (gateway, lane, sequence, account, project_ref, model_version_ref, price_version_ref)
);
create table usage_minutes (
  organisation_ref integer not null,
  project_ref integer not null,
  key_ref integer not null,
  model_version_ref integer not null,
  engine_ref integer not null,
  minute timestamptz not null,
  requests bigint not null,
  failures bigint not null,
  input_tokens bigint not null,
  cached_input_tokens bigint not null,
  output_tokens bigint not null,
  amount_pico numeric(38, 0) not null,
  primary key (organisation_ref, minute, project_ref, key_ref, model_version_ref, engine_ref)
);
