-- Sealed values. Which master key opens a row stands in it; the key itself is never here.
CREATE TABLE secrets (
    owner_kind TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    wrapped BYTES NOT NULL,
    sealed BYTES NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (owner_kind, owner_id, name)
);
CREATE INDEX secrets_by_key ON secrets (key_id);
-- The master key that seals from now on. One row; whoever seals holds it still, so that none seals under a key that goes.
CREATE TABLE keyring (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    key_id TEXT NOT NULL
);
