-- Events of foreign producers that a consumer has seen.
CREATE TABLE IF NOT EXISTS waxwing_inbox_event (
  consumer TEXT NOT NULL,
  event_key BLOB NOT NULL,
  seen_us INTEGER NOT NULL,
  PRIMARY KEY (consumer, event_key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waxwing_inbox_event_by_age ON waxwing_inbox_event (consumer, seen_us);
-- How far a consumer has seen the events of a key that came from an outbox of ours.
CREATE TABLE IF NOT EXISTS waxwing_inbox_key (
  consumer TEXT NOT NULL,
  epoch TEXT NOT NULL,
  topic TEXT NOT NULL,
  msg_key BLOB NOT NULL,
  seq INTEGER NOT NULL,
  seen_us INTEGER NOT NULL,
  PRIMARY KEY (consumer, epoch, topic, msg_key)
) WITHOUT ROWID;
-- How far a consumer has seen a partition.
CREATE TABLE IF NOT EXISTS waxwing_inbox_position (
  consumer TEXT NOT NULL,
  topic TEXT NOT NULL,
  part INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  seen_us INTEGER NOT NULL,
  PRIMARY KEY (consumer, topic, part)
) WITHOUT ROWID;
-- Messages put aside, each key in the order of ids. A row is "retry" (tried when it
-- is due), "waiting" (behind another of its key) or "dead" (waits for an operator).
-- blocks is 1 if later messages of the key wait for it.
CREATE TABLE IF NOT EXISTS waxwing_parked (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  consumer TEXT NOT NULL,
  topic TEXT NOT NULL,
  key_col BLOB NOT NULL,
  blocks INTEGER NOT NULL,
  state TEXT NOT NULL,
  due_us INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  replays INTEGER NOT NULL,
  parked_us INTEGER NOT NULL,
  failed_us INTEGER NOT NULL,
  reason TEXT NOT NULL,
  msg_key BLOB NOT NULL,
  event_key BLOB NOT NULL,
  event_id BLOB NOT NULL,
  source BLOB NOT NULL,
  event_type BLOB NOT NULL,
  content_type BLOB NOT NULL,
  event_us INTEGER,
  part INTEGER,
  log_offset INTEGER,
  headers BLOB NOT NULL,
  body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS waxwing_parked_by_key ON waxwing_parked (consumer, topic, key_col, id);
CREATE INDEX IF NOT EXISTS waxwing_parked_by_due ON waxwing_parked (consumer, state, due_us);
CREATE INDEX IF NOT EXISTS waxwing_parked_by_event ON waxwing_parked (consumer, event_key);
-- Replays of many dead letters that have not come to their end.
CREATE TABLE IF NOT EXISTS waxwing_replay (
  name VARCHAR(64) PRIMARY KEY,
  last_id INTEGER NOT NULL,
  until_id INTEGER NOT NULL
);
