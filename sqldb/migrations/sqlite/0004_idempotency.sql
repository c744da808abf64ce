-- Responses of requests with an Idempotency-Key, each committed with what its
-- handler wrote. id is the SHA-256 of tenant, method, route and key.
CREATE TABLE IF NOT EXISTS waxwing_idempotency (
  id BLOB NOT NULL PRIMARY KEY,
  fingerprint BLOB NOT NULL,
  status INTEGER NOT NULL,
  header BLOB NOT NULL,
  body BLOB NOT NULL,
  created_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS waxwing_idempotency_by_expiry ON waxwing_idempotency (expires_us);
