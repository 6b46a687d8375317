-- billing/budgets: one row per spend budget and month; settled + granted <= limit holds inside every transaction.
create table spend_budgets (
  resource text primary key,
  project_id text not null,
  month text not null,
  settled_pico numeric(38, 0) not null default 0,
  granted_pico numeric(38, 0) not null default 0
);
create table spend_grants (
  resource text not null references spend_budgets (resource),
  gateway text not null,
  epoch integer not null,
  outstanding_pico numeric(38, 0) not null,
  primary key (resource, gateway)
);
