-- Identities of this database's services. secret is wrapped, and empty for those that
-- are kept elsewhere. next_id is the next prekey's. renew is 1 if all prekeys are to be
-- made anew, and 2 until those are published. signer is the public key that they are made
-- for, empty if there are none.
CREATE TABLE IF NOT EXISTS waxwing_seal_identity (
  name VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY,
  wrap_id BIGINT NOT NULL,
  secret VARBINARY(1000) NOT NULL,
  next_id BIGINT NOT NULL,
  renew SMALLINT NOT NULL,
  signer VARBINARY(32) NOT NULL
) ENGINE = InnoDB;
-- What is known of peers: their identity keys, and since when.
CREATE TABLE IF NOT EXISTS waxwing_seal_peer (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  remote VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  identity_key BINARY(32) NOT NULL,
  certificate VARBINARY(1000) NOT NULL,
  verified SMALLINT NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (local, remote)
) ENGINE = InnoDB;
-- Streams of messages, one per peer and lane, or group's chain; numbered for the counter
-- that says how far each was published. low is the least that the next sequence is above.
CREATE TABLE IF NOT EXISTS waxwing_seal_stream (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  remote VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  lane INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  low BIGINT NOT NULL,
  PRIMARY KEY (local, remote, lane),
  UNIQUE KEY waxwing_seal_stream_by_number (local, stream)
) ENGINE = InnoDB;
-- Sessions. slot is 0 of the one that is sealed with, above 0 of others, and below 0 of
-- those that are for opening only. stream is -1 until something was sealed. handshake is
-- what travels along until the peer has answered. state is wrapped, and written with every
-- message.
CREATE TABLE IF NOT EXISTS waxwing_seal_session (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tag BINARY(16) NOT NULL,
  remote VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  lane INTEGER NOT NULL,
  slot BIGINT NOT NULL,
  stream INTEGER NOT NULL,
  seq BIGINT NOT NULL,
  seen_seq BIGINT NOT NULL,
  version BIGINT NOT NULL,
  wrap_id BIGINT NOT NULL,
  state MEDIUMBLOB NOT NULL,
  handshake MEDIUMBLOB NOT NULL,
  born_us BIGINT NOT NULL,
  used_us BIGINT NOT NULL,
  until_us BIGINT NOT NULL,
  PRIMARY KEY (local, tag),
  UNIQUE KEY waxwing_seal_session_by_lane (local, remote, lane, slot)
) ENGINE = InnoDB;
-- Keys of messages that have not come, wrapped. pq is 0 of a session's, 1 of its
-- post-quantum chain's, 2 of a group's.
CREATE TABLE IF NOT EXISTS waxwing_seal_skipped (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tag BINARY(16) NOT NULL,
  chain BINARY(32) NOT NULL,
  pq SMALLINT NOT NULL,
  n BIGINT NOT NULL,
  wrap_id BIGINT NOT NULL,
  secret VARBINARY(1000) NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (local, tag, chain, pq, n),
  KEY waxwing_seal_skipped_by_expiry (local, expires_us)
) ENGINE = InnoDB;
-- Messages that were put aside and have to stay openable, by a hash of the envelope.
-- secret is wrapped, and empty once it has expired.
CREATE TABLE IF NOT EXISTS waxwing_seal_pinned (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  envelope BINARY(32) NOT NULL,
  wrap_id BIGINT NOT NULL,
  secret LONGBLOB NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (local, envelope),
  KEY waxwing_seal_pinned_by_expiry (local, expires_us)
) ENGINE = InnoDB;
-- Prekeys' private halves, wrapped. kind is 1 signed, 2 one-time, 3 one-time KEM, 4
-- last-resort KEM. published is 2 of those of before a restore. retired_us is 0 of those
-- in use.
CREATE TABLE IF NOT EXISTS waxwing_seal_prekey (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  id BIGINT NOT NULL,
  kind SMALLINT NOT NULL,
  wrap_id BIGINT NOT NULL,
  secret VARBINARY(1000) NOT NULL,
  published SMALLINT NOT NULL,
  born_us BIGINT NOT NULL,
  retired_us BIGINT NOT NULL,
  PRIMARY KEY (local, id),
  KEY waxwing_seal_prekey_by_kind (local, kind, retired_us)
) ENGINE = InnoDB;
-- Handshakes with a last-resort key that were accepted.
CREATE TABLE IF NOT EXISTS waxwing_seal_replay (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  kem_id BIGINT NOT NULL,
  signed_id BIGINT NOT NULL,
  base BINARY(32) NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (local, kem_id, signed_id, base)
) ENGINE = InnoDB;
-- Bundles of peers that were fetched ahead: each begins one session.
CREATE TABLE IF NOT EXISTS waxwing_seal_bundle (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  remote VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  lane INTEGER NOT NULL,
  bundle MEDIUMBLOB NOT NULL,
  fetched_us BIGINT NOT NULL,
  PRIMARY KEY (local, remote, lane)
) ENGINE = InnoDB;
-- Groups that this database's services send to. version grows with each change.
CREATE TABLE IF NOT EXISTS waxwing_seal_group (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (local, name)
) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS waxwing_seal_member (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  member VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (local, name, member)
) ENGINE = InnoDB;
-- Sender keys, one per group, instance and lane. state is wrapped. members are those who
-- have been sent it, as of the group's version.
CREATE TABLE IF NOT EXISTS waxwing_seal_sender (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instance VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  lane INTEGER NOT NULL,
  tag BINARY(16) NOT NULL,
  stream INTEGER NOT NULL,
  seq BIGINT NOT NULL,
  sent BIGINT NOT NULL,
  version BIGINT NOT NULL,
  group_version BIGINT NOT NULL,
  members MEDIUMBLOB NOT NULL,
  wrap_id BIGINT NOT NULL,
  state MEDIUMBLOB NOT NULL,
  born_us BIGINT NOT NULL,
  PRIMARY KEY (local, name, instance, lane)
) ENGINE = InnoDB;
-- Others' sender keys, wrapped, by tag, until the end of the certificate that they came
-- under.
CREATE TABLE IF NOT EXISTS waxwing_seal_receiver (
  local VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  tag BINARY(16) NOT NULL,
  remote VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  name VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  instance VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  lane INTEGER NOT NULL,
  version BIGINT NOT NULL,
  wrap_id BIGINT NOT NULL,
  state MEDIUMBLOB NOT NULL,
  born_us BIGINT NOT NULL,
  until_us BIGINT NOT NULL,
  PRIMARY KEY (local, tag),
  KEY waxwing_seal_receiver_by_sender (local, remote, name, instance, lane, born_us)
) ENGINE = InnoDB;
