-- What users make: one row for each object of any kind, its body as JSON.
CREATE TABLE objects (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX objects_in_workspace ON objects (kind, workspace, name);
CREATE INDEX objects_everywhere ON objects (kind, name, workspace);
