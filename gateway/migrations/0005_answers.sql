-- First answers to requests with an idempotency key. A body may hold what only its caller may see, so it is sealed.
CREATE TABLE answers (
    principal TEXT NOT NULL,
    route TEXT NOT NULL,
    request_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    begun_ms BIGINT NOT NULL,
    attempt TEXT NOT NULL,
    status BIGINT,
    PRIMARY KEY (principal, route, request_key)
);
CREATE UNIQUE INDEX answers_by_attempt ON answers (attempt);
CREATE INDEX answers_by_age ON answers (begun_ms);
CREATE INDEX answers_of_principal ON answers (principal, begun_ms);
