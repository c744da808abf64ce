-- Events that are not published yet. A row goes when it is durable at the broker.
-- The sequence must hand out ids one by one (CACHE 1), so that ids taken under a
-- lock are in the order of the lock.
CREATE TABLE IF NOT EXISTS waxwing_outbox (
  id BIGINT GENERATED ALWAYS AS IDENTITY (CACHE 1),
  bucket SMALLINT NOT NULL,
  topic TEXT NOT NULL,
  msg_key BYTEA NOT NULL,
  event_id TEXT NOT NULL,
  event_type TEXT NOT NULL,
  content_type TEXT NOT NULL,
  headers BYTEA NOT NULL,
  body BYTEA NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (bucket, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_cost_delay = 0);
-- Who may publish a bucket's rows until when. The token grows with each owner.
CREATE TABLE IF NOT EXISTS waxwing_outbox_lease (
  bucket SMALLINT PRIMARY KEY,
  owner TEXT NOT NULL,
  token BIGINT NOT NULL,
  expires_us BIGINT NOT NULL
) WITH (fillfactor = 50);
-- Relays that are alive, among whom buckets are shared out.
CREATE TABLE IF NOT EXISTS waxwing_outbox_relay (
  owner TEXT PRIMARY KEY,
  seen_us BIGINT NOT NULL
) WITH (fillfactor = 50);
-- Facts about this database: "outbox-epoch" names the run of ids, and changes when
-- a restore from a backup may hand out ids again.
CREATE TABLE IF NOT EXISTS waxwing_meta (
  name VARCHAR(100) PRIMARY KEY,
  value TEXT NOT NULL
);
