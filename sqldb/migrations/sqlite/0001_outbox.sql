-- Events that are not published yet. A row goes when it is durable at the broker.
CREATE TABLE IF NOT EXISTS waxwing_outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  bucket INTEGER NOT NULL,
  topic TEXT NOT NULL,
  msg_key BLOB NOT NULL,
  event_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  content_type TEXT NOT NULL,
  headers BLOB NOT NULL,
  body BLOB NOT NULL,
  created_us INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS waxwing_outbox_by_bucket ON waxwing_outbox (bucket, id);
-- Who may publish a bucket's rows until when. The token grows with each owner.
CREATE TABLE IF NOT EXISTS waxwing_outbox_lease (
  bucket INTEGER PRIMARY KEY,
  owner TEXT NOT NULL,
  token INTEGER NOT NULL,
  expires_us INTEGER NOT NULL
);
-- Relays that are alive, among whom buckets are shared out.
CREATE TABLE IF NOT EXISTS waxwing_outbox_relay (
  owner TEXT PRIMARY KEY,
  seen_us INTEGER NOT NULL
);
-- Facts about this database: "outbox-epoch" names the run of ids, and changes when
-- a restore from a backup may hand out ids again.
CREATE TABLE IF NOT EXISTS waxwing_meta (
  name VARCHAR(100) PRIMARY KEY,
  value TEXT NOT NULL
);
