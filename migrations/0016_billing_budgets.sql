-- billing/budgets: what control knew of leases when it stopped properly: one row, taken away by the next start, so that a crash
-- finds none and waits for its gateways instead.
create table lease_handovers (
  slot smallint primary key default 1 check (slot = 1),
  state jsonb not null
);
