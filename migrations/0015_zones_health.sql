-- zones/health: probes belong to a tenant like everything else; only the latest is kept, so the next round fills the table again.
delete from engine_probes;
alter table engine_probes add column organisation_id text not null references organisations (id);
create index engine_probes_by_organisation on engine_probes (organisation_id);
