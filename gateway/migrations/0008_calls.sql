-- Model calls that were answered, one row each. Amounts are pico-dollars.
CREATE TABLE calls (
    id TEXT NOT NULL PRIMARY KEY,
    time_ms BIGINT NOT NULL,
    workspace TEXT NOT NULL,
    caller TEXT NOT NULL,
    backend TEXT NOT NULL,
    model TEXT NOT NULL,
    zone TEXT NOT NULL,
    input BIGINT NOT NULL,
    cached BIGINT NOT NULL,
    output BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    saved BIGINT NOT NULL
);
CREATE INDEX calls_by_time ON calls (workspace, time_ms);
