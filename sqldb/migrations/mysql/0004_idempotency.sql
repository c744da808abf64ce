-- Responses of requests with an Idempotency-Key, each committed with what its
-- handler wrote. id is the SHA-256 of tenant, method, route and key. Status 0 is
-- a request that runs: only its own transaction sees it.
CREATE TABLE IF NOT EXISTS waxwing_idempotency (
  id BINARY(32) PRIMARY KEY,
  fingerprint BINARY(32) NOT NULL,
  status SMALLINT NOT NULL,
  header MEDIUMBLOB NOT NULL,
  body LONGBLOB NOT NULL,
  created_us BIGINT NOT NULL,
  expires_us BIGINT NOT NULL,
  KEY waxwing_idempotency_by_expiry (expires_us)
) ENGINE = InnoDB;
