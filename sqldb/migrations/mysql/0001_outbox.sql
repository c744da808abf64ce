-- Events that are not published yet. A row goes when it is durable at the broker.
CREATE TABLE IF NOT EXISTS waxwing_outbox (
  id BIGINT NOT NULL AUTO_INCREMENT,
  bucket SMALLINT NOT NULL,
  topic VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  msg_key VARBINARY(4096) NOT NULL,
  event_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  event_type VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  content_type VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  headers MEDIUMBLOB NOT NULL,
  body LONGBLOB NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (bucket, id),
  UNIQUE KEY (id)
) ENGINE = InnoDB;
-- Who may publish a bucket's rows until when. The token grows with each owner.
CREATE TABLE IF NOT EXISTS waxwing_outbox_lease (
  bucket SMALLINT PRIMARY KEY,
  owner VARCHAR(255) NOT NULL,
  token BIGINT NOT NULL,
  expires_us BIGINT NOT NULL
) ENGINE = InnoDB;
-- Relays that are alive, among whom buckets are shared out.
CREATE TABLE IF NOT EXISTS waxwing_outbox_relay (
  owner VARCHAR(255) PRIMARY KEY,
  seen_us BIGINT NOT NULL
) ENGINE = InnoDB;
-- Facts about this database: "outbox-epoch" names the run of ids, and changes when
-- a restore from a backup may hand out ids again.
CREATE TABLE IF NOT EXISTS waxwing_meta (
  name VARCHAR(100) PRIMARY KEY,
  value TEXT NOT NULL
) ENGINE = InnoDB;
-- Rows that transactions lock, so that those that publish the same key do not overlap.
CREATE TABLE IF NOT EXISTS waxwing_outbox_slot (
  slot SMALLINT PRIMARY KEY
) ENGINE = InnoDB;
INSERT IGNORE INTO waxwing_outbox_slot
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 31)
SELECT 32 * a.i + b.i FROM n AS a, n AS b;
