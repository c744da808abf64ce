-- Instances of sagas. Each transition writes the whole row and counts revision up.
CREATE TABLE IF NOT EXISTS waxwing_saga (
  id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY,
  name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  version INTEGER NOT NULL,
  shape VARCHAR(64) NOT NULL,
  state VARCHAR(20) NOT NULL,
  data LONGBLOB NOT NULL,
  progress LONGBLOB NOT NULL,
  request VARCHAR(20) NOT NULL,
  revision BIGINT NOT NULL,
  created_us BIGINT NOT NULL,
  updated_us BIGINT NOT NULL,
  KEY waxwing_saga_by_state (state, name, version, shape)
) ENGINE = InnoDB;
-- When an instance is to be looked at, at the latest.
CREATE TABLE IF NOT EXISTS waxwing_saga_timer (
  saga_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY,
  due_us BIGINT NOT NULL,
  KEY waxwing_saga_timer_by_due (due_us, saga_id)
) ENGINE = InnoDB;
-- A participant's barrier: which commands it has carried out, or may not any more.
CREATE TABLE IF NOT EXISTS waxwing_saga_barrier (
  saga VARCHAR(320) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  step VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  op VARCHAR(16) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
  outcome VARCHAR(20) NOT NULL,
  reply LONGBLOB NOT NULL,
  error TEXT CHARACTER SET utf8mb4 NOT NULL,
  created_us BIGINT NOT NULL,
  PRIMARY KEY (saga, step, op),
  KEY waxwing_saga_barrier_by_age (created_us)
) ENGINE = InnoDB;
