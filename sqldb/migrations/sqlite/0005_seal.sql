-- Identities of this database's services. secret is wrapped, and empty for those that
-- are kept elsewhere. next_id is the next prekey's. renew is 1 if all prekeys are to be
-- made anew, and 2 until those are published. signer is the public key that they are made
-- for, empty if there are none.
CREATE TABLE IF NOT EXISTS waxwing_seal_identity (
  name TEXT NOT NULL PRIMARY KEY,
  wrap_id INTEGER NOT NULL,
  secret BLOB NOT NULL,
  next_id INTEGER NOT NULL,
  renew INTEGER NOT NULL,
  signer BLOB NOT NULL
);
-- What is known of peers: their identity keys, and since when.
CREATE TABLE IF NOT EXISTS waxwing_seal_peer (
  local TEXT NOT NULL,
  remote TEXT NOT NULL,
  identity_key BLOB NOT NULL,
  certificate BLOB NOT NULL,
  verified INTEGER NOT NULL,
  seen_us INTEGER NOT NULL,
  PRIMARY KEY (local, remote)
);
-- Streams of messages, one per peer and lane, or group's chain; numbered for the counter
-- that says how far each was published. low is the least that the next sequence is above.
CREATE TABLE IF NOT EXISTS waxwing_seal_stream (
  local TEXT NOT NULL,
  remote TEXT NOT NULL,
  lane INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  low INTEGER NOT NULL,
  PRIMARY KEY (local, remote, lane)
);
CREATE UNIQUE INDEX IF NOT EXISTS waxwing_seal_stream_by_number ON waxwing_seal_stream (local, stream);
-- Sessions. slot is 0 of the one that is sealed with, above 0 of others, and below 0 of
-- those that are for opening only. stream is -1 until something was sealed. handshake is
-- what travels along until the peer has answered. state is wrapped, and written with every
-- message.
CREATE TABLE IF NOT EXISTS waxwing_seal_session (
  local TEXT NOT NULL,
  tag BLOB NOT NULL,
  remote TEXT NOT NULL,
  lane INTEGER NOT NULL,
  slot INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  seen_seq INTEGER NOT NULL,
  version INTEGER NOT NULL,
  wrap_id INTEGER NOT NULL,
  state BLOB NOT NULL,
  handshake BLOB NOT NULL,
  born_us INTEGER NOT NULL,
  used_us INTEGER NOT NULL,
  until_us INTEGER NOT NULL,
  PRIMARY KEY (local, tag)
);
CREATE UNIQUE INDEX IF NOT EXISTS waxwing_seal_session_by_lane ON waxwing_seal_session (local, remote, lane, slot);
-- Keys of messages that have not come, wrapped. pq is 0 of a session's, 1 of its
-- post-quantum chain's, 2 of a group's.
CREATE TABLE IF NOT EXISTS waxwing_seal_skipped (
  local TEXT NOT NULL,
  tag BLOB NOT NULL,
  chain BLOB NOT NULL,
  pq INTEGER NOT NULL,
  n INTEGER NOT NULL,
  wrap_id INTEGER NOT NULL,
  secret BLOB NOT NULL,
  expires_us INTEGER NOT NULL,
  PRIMARY KEY (local, tag, chain, pq, n)
);
CREATE INDEX IF NOT EXISTS waxwing_seal_skipped_by_expiry ON waxwing_seal_skipped (local, expires_us);
-- Messages that were put aside and have to stay openable, by a hash of the envelope.
-- secret is wrapped, and empty once it has expired.
CREATE TABLE IF NOT EXISTS waxwing_seal_pinned (
  local TEXT NOT NULL,
  envelope BLOB NOT NULL,
  wrap_id INTEGER NOT NULL,
  secret BLOB NOT NULL,
  expires_us INTEGER NOT NULL,
  PRIMARY KEY (local, envelope)
);
CREATE INDEX IF NOT EXISTS waxwing_seal_pinned_by_expiry ON waxwing_seal_pinned (local, expires_us);
-- Prekeys' private halves, wrapped. kind is 1 signed, 2 one-time, 3 one-time KEM, 4
-- last-resort KEM. published is 2 of those of before a restore. retired_us is 0 of those
-- in use.
CREATE TABLE IF NOT EXISTS waxwing_seal_prekey (
  local TEXT NOT NULL,
  id INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  wrap_id INTEGER NOT NULL,
  secret BLOB NOT NULL,
  published INTEGER NOT NULL,
  born_us INTEGER NOT NULL,
  retired_us INTEGER NOT NULL,
  PRIMARY KEY (local, id)
);
CREATE INDEX IF NOT EXISTS waxwing_seal_prekey_by_kind ON waxwing_seal_prekey (local, kind, retired_us);
-- Handshakes with a last-resort key that were accepted.
CREATE TABLE IF NOT EXISTS waxwing_seal_replay (
  local TEXT NOT NULL,
  kem_id INTEGER NOT NULL,
  signed_id INTEGER NOT NULL,
  base BLOB NOT NULL,
  seen_us INTEGER NOT NULL,
  PRIMARY KEY (local, kem_id, signed_id, base)
);
-- Bundles of peers that were fetched ahead: each begins one session.
CREATE TABLE IF NOT EXISTS waxwing_seal_bundle (
  local TEXT NOT NULL,
  remote TEXT NOT NULL,
  lane INTEGER NOT NULL,
  bundle BLOB NOT NULL,
  fetched_us INTEGER NOT NULL,
  PRIMARY KEY (local, remote, lane)
);
-- Groups that this database's services send to. version grows with each change.
CREATE TABLE IF NOT EXISTS waxwing_seal_group (
  local TEXT NOT NULL,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  PRIMARY KEY (local, name)
);
CREATE TABLE IF NOT EXISTS waxwing_seal_member (
  local TEXT NOT NULL,
  name TEXT NOT NULL,
  member TEXT NOT NULL,
  PRIMARY KEY (local, name, member)
);
-- Sender keys, one per group, instance and lane. state is wrapped. members are those who
-- have been sent it, as of the group's version.
CREATE TABLE IF NOT EXISTS waxwing_seal_sender (
  local TEXT NOT NULL,
  name TEXT NOT NULL,
  instance TEXT NOT NULL,
  lane INTEGER NOT NULL,
  tag BLOB NOT NULL,
  stream INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  sent INTEGER NOT NULL,
  version INTEGER NOT NULL,
  group_version INTEGER NOT NULL,
  members BLOB NOT NULL,
  wrap_id INTEGER NOT NULL,
  state BLOB NOT NULL,
  born_us INTEGER NOT NULL,
  PRIMARY KEY (local, name, instance, lane)
);
-- Others' sender keys, wrapped, by tag, until the end of the certificate that they came
-- under.
CREATE TABLE IF NOT EXISTS waxwing_seal_receiver (
  local TEXT NOT NULL,
  tag BLOB NOT NULL,
  remote TEXT NOT NULL,
  name TEXT NOT NULL,
  instance TEXT NOT NULL,
  lane INTEGER NOT NULL,
  version INTEGER NOT NULL,
  wrap_id INTEGER NOT NULL,
  state BLOB NOT NULL,
  born_us INTEGER NOT NULL,
  until_us INTEGER NOT NULL,
  PRIMARY KEY (local, tag)
);
CREATE INDEX IF NOT EXISTS waxwing_seal_receiver_by_sender ON waxwing_seal_receiver (local, remote, name, instance, lane, born_us);
