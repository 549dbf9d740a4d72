-- What happened, in the order in which it was told, each line chained to the one before it.
CREATE TABLE audit_events (
    position BIGINT NOT NULL PRIMARY KEY,
    sandbox TEXT NOT NULL,
    instance TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    kind TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    stored_ms BIGINT NOT NULL,
    line TEXT NOT NULL,
    size BIGINT NOT NULL,
    hash BYTES NOT NULL
);
CREATE INDEX audit_of_sandbox ON audit_events (sandbox, position);
CREATE INDEX audit_of_kind ON audit_events (kind, position);
CREATE INDEX audit_by_time ON audit_events (stored_ms, position);

-- How far each sender has come, and how many of its events never arrived.
CREATE TABLE audit_streams (
    sandbox TEXT NOT NULL,
    instance TEXT NOT NULL,
    next_sequence BIGINT NOT NULL,
    lost BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (sandbox, instance)
);

-- The ends of the chain: before its first line (the anchor) and after its last, under a code that only we can make.
CREATE TABLE audit_chain (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    anchor_position BIGINT NOT NULL,
    anchor BYTES NOT NULL,
    last_position BIGINT NOT NULL,
    last BYTES NOT NULL,
    stored_ms BIGINT NOT NULL,
    size BIGINT NOT NULL,
    code BYTES NOT NULL
);
