-- Events of foreign producers that a consumer has seen.
CREATE TABLE IF NOT EXISTS waxwing_inbox_event (
  consumer VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  event_key VARBINARY(255) NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (consumer, event_key),
  KEY waxwing_inbox_event_by_age (consumer, seen_us)
) ENGINE = InnoDB;
-- How far a consumer has seen the events of a key that came from an outbox of ours.
CREATE TABLE IF NOT EXISTS waxwing_inbox_key (
  consumer VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  epoch VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  topic VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  msg_key VARBINARY(255) NOT NULL,
  seq BIGINT NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (consumer, epoch, topic, msg_key)
) ENGINE = InnoDB;
-- How far a consumer has seen a partition.
CREATE TABLE IF NOT EXISTS waxwing_inbox_position (
  consumer VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  topic VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  part INTEGER NOT NULL,
  next_offset BIGINT NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (consumer, topic, part)
) ENGINE = InnoDB;
-- Messages put aside, each key in the order of ids. A row is "retry" (tried when it
-- is due), "waiting" (behind another of its key) or "dead" (waits for an operator).
-- blocks is 1 if later messages of the key wait for it.
CREATE TABLE IF NOT EXISTS waxwing_parked (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  consumer VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  topic VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  key_col VARBINARY(255) NOT NULL,
  blocks SMALLINT NOT NULL,
  state VARCHAR(10) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  due_us BIGINT NOT NULL,
  attempts INTEGER NOT NULL,
  replays INTEGER NOT NULL,
  parked_us BIGINT NOT NULL,
  failed_us BIGINT NOT NULL,
  reason TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  msg_key MEDIUMBLOB NOT NULL,
  event_key VARBINARY(255) NOT NULL,
  event_id MEDIUMBLOB NOT NULL,
  source MEDIUMBLOB NOT NULL,
  event_type MEDIUMBLOB NOT NULL,
  content_type MEDIUMBLOB NOT NULL,
  event_us BIGINT,
  part INTEGER,
  log_offset BIGINT,
  headers LONGBLOB NOT NULL,
  body LONGBLOB NOT NULL,
  KEY waxwing_parked_by_key (consumer, topic, key_col, id),
  KEY waxwing_parked_by_due (consumer, state, due_us),
  KEY waxwing_parked_by_event (consumer, event_key)
) ENGINE = InnoDB;
-- Replays of many dead letters that have not come to their end.
CREATE TABLE IF NOT EXISTS waxwing_replay (
  name VARCHAR(64) PRIMARY KEY,
  last_id BIGINT NOT NULL,
  until_id BIGINT NOT NULL
) ENGINE = InnoDB;
