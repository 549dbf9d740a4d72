-- Every policy that a scope was given, in the order it was given. A scope is a sandbox or everything.
CREATE TABLE policy_revisions (
    scope TEXT NOT NULL,
    version BIGINT NOT NULL,
    hash TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    created_ms BIGINT NOT NULL,
    decided_ms BIGINT,
    PRIMARY KEY (scope, version)
);
