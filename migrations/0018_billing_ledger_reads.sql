-- billing/ledger: the time index carries what percentiles read; failures, few among many, are found without walking past the rest.
drop index facts_by_time;
create index facts_by_time on facts (organisation_ref, started_at desc) include (first_byte_ms);
create index facts_by_failure on facts (organisation_ref, started_at desc) where status <> 'ok';
