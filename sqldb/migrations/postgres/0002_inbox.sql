-- Events of foreign producers that a consumer has seen.
CREATE TABLE IF NOT EXISTS waxwing_inbox_event (
  consumer TEXT COLLATE "C" NOT NULL,
  event_key BYTEA NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (consumer, event_key)
);
CREATE INDEX IF NOT EXISTS waxwing_inbox_event_by_age ON waxwing_inbox_event (consumer, seen_us);
-- How far a consumer has seen the events of a key that came from an outbox of ours.
CREATE TABLE IF NOT EXISTS waxwing_inbox_key (
  consumer TEXT COLLATE "C" NOT NULL,
  epoch TEXT COLLATE "C" NOT NULL,
  topic TEXT COLLATE "C" NOT NULL,
  msg_key BYTEA NOT NULL,
  seq BIGINT NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (consumer, epoch, topic, msg_key)
) WITH (fillfactor = 70);
-- How far a consumer has seen a partition.
CREATE TABLE IF NOT EXISTS waxwing_inbox_position (
  consumer TEXT COLLATE "C" NOT NULL,
  topic TEXT COLLATE "C" NOT NULL,
  part INTEGER NOT NULL,
  next_offset BIGINT NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (consumer, topic, part)
) WITH (fillfactor = 50);
-- Messages put aside, each key in the order of ids. A row is "retry" (tried when it
-- is due), "waiting" (behind another of its key) or "dead" (waits for an operator).
-- blocks is 1 if later messages of the key wait for it.
CREATE TABLE IF NOT EXISTS waxwing_parked (
  id BIGINT GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
  consumer TEXT COLLATE "C" NOT NULL,
  topic TEXT COLLATE "C" NOT NULL,
  key_col BYTEA NOT NULL,
  blocks SMALLINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  due_us BIGINT NOT NULL,
  attempts INTEGER NOT NULL,
  replays INTEGER NOT NULL,
  parked_us BIGINT NOT NULL,
  failed_us BIGINT NOT NULL,
  reason TEXT NOT NULL,
  msg_key BYTEA NOT NULL,
  event_key BYTEA NOT NULL,
  event_id BYTEA NOT NULL,
  source BYTEA NOT NULL,
  event_type BYTEA NOT NULL,
  content_type BYTEA NOT NULL,
  event_us BIGINT,
  part INTEGER,
  log_offset BIGINT,
  headers BYTEA NOT NULL,
  body BYTEA NOT NULL
);
CREATE INDEX IF NOT EXISTS waxwing_parked_by_key ON waxwing_parked (consumer, topic, key_col, id);
CREATE INDEX IF NOT EXISTS waxwing_parked_by_due ON waxwing_parked (consumer, state, due_us);
CREATE INDEX IF NOT EXISTS waxwing_parked_by_event ON waxwing_parked (consumer, event_key);
-- Replays of many dead letters that have not come to their end.
CREATE TABLE IF NOT EXISTS waxwing_replay (
  name VARCHAR(64) PRIMARY KEY,
  last_id BIGINT NOT NULL,
  until_id BIGINT NOT NULL
);
