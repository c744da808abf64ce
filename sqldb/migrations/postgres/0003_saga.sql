-- Instances of sagas. Each transition writes the whole row and counts revision up.
CREATE TABLE IF NOT EXISTS waxwing_saga (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  shape TEXT NOT NULL,
  state TEXT NOT NULL,
  data BYTEA NOT NULL,
  progress BYTEA NOT NULL,
  request TEXT NOT NULL,
  revision BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  updated_us BIGINT NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS waxwing_saga_by_state ON waxwing_saga (state, name, version, shape);
-- When an instance is to be looked at, at the latest.
CREATE TABLE IF NOT EXISTS waxwing_saga_timer (
  saga_id TEXT PRIMARY KEY,
  due_us BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS waxwing_saga_timer_by_due ON waxwing_saga_timer (due_us, saga_id);
-- A participant's barrier: which commands it has carried out, or may not any more.
CREATE TABLE IF NOT EXISTS waxwing_saga_barrier (
  saga TEXT NOT NULL,
  step TEXT NOT NULL,
  op TEXT NOT NULL,
  outcome TEXT NOT NULL,
  reply BYTEA NOT NULL,
  error TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (saga, step, op)
);
CREATE INDEX IF NOT EXISTS waxwing_saga_barrier_by_age ON waxwing_saga_barrier (created_us);
