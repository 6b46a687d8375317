-- billing/budgets: a gateway's process holds money for one life; what a dead one held is released once its journal is posted.
-- `release_after`: the last journal sequence that can hold that life's usage; null: the life that runs now.
alter table spend_grants add column settled_pico numeric(38, 0) not null default 0;
alter table spend_grants add column release_after integer;
alter table spend_grants drop constraint spend_grants_pkey;
alter table spend_grants add primary key (resource, gateway, epoch);
create unique index spend_grants_of_this_life on spend_grants (resource, gateway) where release_after is null;
-- A gateway that said goodbye is not waited for when control starts again.
alter table gateways add column left_at timestamptz;
