-- billing/ledger: whether the price that a gateway used was in force when the request began (a snapshot may lag behind a change).
alter table facts add column price_in_force boolean not null default true;
