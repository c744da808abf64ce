-- Responses of requests with an Idempotency-Key, each committed with what its
-- handler wrote. id is the SHA-256 of tenant, method, route and key.
CREATE TABLE IF NOT EXISTS waxwing_idempotency (
  id BYTEA PRIMARY KEY,
  fingerprint BYTEA NOT NULL,
  status SMALLINT NOT NULL,
  header BYTEA NOT NULL,
  body BYTEA NOT NULL,
  created_us BIGINT NOT NULL,
  expires_us BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS waxwing_idempotency_by_expiry ON waxwing_idempotency (expires_us);
