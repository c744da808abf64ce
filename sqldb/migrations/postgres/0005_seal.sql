-- Identities of this database's services. secret is wrapped, and empty for those that
-- are kept elsewhere. next_id is the next prekey's. renew is 1 if all prekeys are to be
-- made anew, and 2 until those are published. signer is the public key that they are made
-- for, empty if there are none.
CREATE TABLE IF NOT EXISTS waxwing_seal_identity (
  name TEXT COLLATE "C" PRIMARY KEY,
  wrap_id BIGINT NOT NULL,
  secret BYTEA NOT NULL,
  next_id BIGINT NOT NULL,
  renew SMALLINT NOT NULL,
  signer BYTEA NOT NULL
);
-- What is known of peers: their identity keys, and since when.
CREATE TABLE IF NOT EXISTS waxwing_seal_peer (
  local TEXT COLLATE "C" NOT NULL,
  remote TEXT COLLATE "C" NOT NULL,
  identity_key BYTEA NOT NULL,
  certificate BYTEA NOT NULL,
  verified SMALLINT NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (local, remote)
);
-- Streams of messages, one per peer and lane, or group's chain; numbered for the counter
-- that says how far each was published. low is the least that the next sequence is above.
CREATE TABLE IF NOT EXISTS waxwing_seal_stream (
  local TEXT COLLATE "C" NOT NULL,
  remote TEXT COLLATE "C" NOT NULL,
  lane INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  low BIGINT NOT NULL,
  PRIMARY KEY (local, remote, lane)
);
CREATE UNIQUE INDEX IF NOT EXISTS waxwing_seal_stream_by_number ON waxwing_seal_stream (local, stream);
-- Sessions. slot is 0 of the one that is sealed with, above 0 of others, and below 0 of
-- those that are for opening only. stream is -1 until something was sealed. handshake is
-- what travels along until the peer has answered. state is wrapped, and written with every
-- message.
CREATE TABLE IF NOT EXISTS waxwing_seal_session (
  local TEXT COLLATE "C" NOT NULL,
  tag BYTEA NOT NULL,
  remote TEXT COLLATE "C" NOT NULL,
  lane INTEGER NOT NULL,
  slot BIGINT NOT NULL,
  stream INTEGER NOT NULL,
  seq BIGINT NOT NULL,
  seen_seq BIGINT NOT NULL,
  version BIGINT NOT NULL,
  wrap_id BIGINT NOT NULL,
  state BYTEA NOT NULL,
  handshake BYTEA NOT NULL,
  born_us BIGINT NOT NULL,
  used_us BIGINT NOT NULL,
  until_us BIGINT NOT NULL,
  PRIMARY KEY (local, tag)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX IF NOT EXISTS waxwing_seal_session_by_lane ON waxwing_seal_session (local, remote, lane, slot);
-- Keys of messages that have not come, wrapped. pq is 0 of a session's, 1 of its
-- post-quantum chain's, 2 of a group's.
CREATE TABLE IF NOT EXISTS waxwing_seal_skipped (
  local TEXT COLLATE "C" NOT NULL,
  tag BYTEA NOT NULL,
  chain BYTEA NOT NULL,
  pq SMALLINT NOT NULL,
  n BIGINT NOT NULL,
  wrap_id BIGINT NOT NULL,
  secret BYTEA NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (local, tag, chain, pq, n)
);
CREATE INDEX IF NOT EXISTS waxwing_seal_skipped_by_expiry ON waxwing_seal_skipped (local, expires_us);
-- Messages that were put aside and have to stay openable, by a hash of the envelope.
-- secret is wrapped, and empty once it has expired.
CREATE TABLE IF NOT EXISTS waxwing_seal_pinned (
  local TEXT COLLATE "C" NOT NULL,
  envelope BYTEA NOT NULL,
  wrap_id BIGINT NOT NULL,
  secret BYTEA NOT NULL,
  expires_us BIGINT NOT NULL,
  PRIMARY KEY (local, envelope)
);
CREATE INDEX IF NOT EXISTS waxwing_seal_pinned_by_expiry ON waxwing_seal_pinned (local, expires_us);
-- Prekeys' private halves, wrapped. kind is 1 signed, 2 one-time, 3 one-time KEM, 4
-- last-resort KEM. published is 2 of those of before a restore. retired_us is 0 of those
-- in use.
CREATE TABLE IF NOT EXISTS waxwing_seal_prekey (
  local TEXT COLLATE "C" NOT NULL,
  id BIGINT NOT NULL,
  kind SMALLINT NOT NULL,
  wrap_id BIGINT NOT NULL,
  secret BYTEA NOT NULL,
  published SMALLINT NOT NULL,
  born_us BIGINT NOT NULL,
  retired_us BIGINT NOT NULL,
  PRIMARY KEY (local, id)
);
CREATE INDEX IF NOT EXISTS waxwing_seal_prekey_by_kind ON waxwing_seal_prekey (local, kind, retired_us);
-- Handshakes with a last-resort key that were accepted.
CREATE TABLE IF NOT EXISTS waxwing_seal_replay (
  local TEXT COLLATE "C" NOT NULL,
  kem_id BIGINT NOT NULL,
  signed_id BIGINT NOT NULL,
  base BYTEA NOT NULL,
  seen_us BIGINT NOT NULL,
  PRIMARY KEY (local, kem_id, signed_id, base)
);
-- Bundles of peers that were fetched ahead: each begins one session.
CREATE TABLE IF NOT EXISTS waxwing_seal_bundle (
  local TEXT COLLATE "C" NOT NULL,
  remote TEXT COLLATE "C" NOT NULL,
  lane INTEGER NOT NULL,
  bundle BYTEA NOT NULL,
  fetched_us BIGINT NOT NULL,
  PRIMARY KEY (local, remote, lane)
);
-- Groups that this database's services send to. version grows with each change.
CREATE TABLE IF NOT EXISTS waxwing_seal_group (
  local TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (local, name)
);
CREATE TABLE IF NOT EXISTS waxwing_seal_member (
  local TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  member TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (local, name, member)
);
-- Sender keys, one per group, instance and lane. state is wrapped. members are those who
-- have been sent it, as of the group's version.
CREATE TABLE IF NOT EXISTS waxwing_seal_sender (
  local TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  instance TEXT COLLATE "C" NOT NULL,
  lane INTEGER NOT NULL,
  tag BYTEA NOT NULL,
  stream INTEGER NOT NULL,
  seq BIGINT NOT NULL,
  sent BIGINT NOT NULL,
  version BIGINT NOT NULL,
  group_version BIGINT NOT NULL,
  members BYTEA NOT NULL,
  wrap_id BIGINT NOT NULL,
  state BYTEA NOT NULL,
  born_us BIGINT NOT NULL,
  PRIMARY KEY (local, name, instance, lane)
) WITH (fillfactor = 50);
-- Others' sender keys, wrapped, by tag, until the end of the certificate that they came
-- under.
CREATE TABLE IF NOT EXISTS waxwing_seal_receiver (
  local TEXT COLLATE "C" NOT NULL,
  tag BYTEA NOT NULL,
  remote TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  instance TEXT COLLATE "C" NOT NULL,
  lane INTEGER NOT NULL,
  version BIGINT NOT NULL,
  wrap_id BIGINT NOT NULL,
  state BYTEA NOT NULL,
  born_us BIGINT NOT NULL,
  until_us BIGINT NOT NULL,
  PRIMARY KEY (local, tag)
) WITH (fillfactor = 50);
CREATE INDEX IF NOT EXISTS waxwing_seal_receiver_by_sender ON waxwing_seal_receiver (local, remote, name, instance, lane, born_us);
