-- What was spent, and what is set aside for calls under way. Amounts are pico-dollars.
CREATE TABLE accounts (
    scope TEXT NOT NULL,
    owner TEXT NOT NULL,
    period TEXT NOT NULL,
    reserved BIGINT NOT NULL,
    settled BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (scope, owner, period)
);
CREATE INDEX accounts_of_period ON accounts (scope, period, owner);
CREATE INDEX accounts_by_age ON accounts (updated_ms);

-- One row for each call, so that it is booked once however often it is told.
CREATE TABLE reservations (
    id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL,
    amount BIGINT NOT NULL,
    spent BIGINT NOT NULL,
    accounts TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX reservations_open ON reservations (state, expires_ms);
CREATE INDEX reservations_by_age ON reservations (state, updated_ms);
