package seal

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
	"github.com/waxwing-mq/waxwing/seal/directory"
	"github.com/waxwing-mq/waxwing/seal/ratchet"
)

// A session is a row of waxwing_seal_session.
type session struct {
	tag       [16]byte
	remote    string
	lane      int
	slot      int64  // 0: sealed with; above: not; below: for opening only
	stream    int64  // noStream: none yet
	seq       uint64 // of the last message that was sealed
	seenSeq   uint64 // the highest that was opened
	version   int64
	state     *ratchet.Session
	handshake []byte // ratchet.Handshake, empty once the peer has answered
	born      int64
	until     int64 // when the first of both certificates ends

	isNew bool
}

const sessionColumns = "tag, remote, lane, slot, stream, seq, seen_seq, version, state, handshake, born_us, until_us"

func (e *core) sessionRow(tag [16]byte) []byte { return rowID("session", e.local, string(tag[:])) }

// lockSession reads and locks a session, nil if there is none.
func (e *core) lockSession(ctx context.Context, c sqltx.Conn, where string, args ...any) (*session, error) {
	s := &session{}
	var tag, state []byte
	var stream, seq, seen int64
	err := sqltx.One(ctx, c, "SELECT "+sessionColumns+" FROM waxwing_seal_session WHERE local = ? AND "+where+e.dialect.ForUpdate(),
		append([]any{e.local}, args...), &tag, &s.remote, &s.lane, &s.slot, &stream, &seq, &seen, &s.version, &state, &s.handshake, &s.born, &s.until)
	if errors.Is(err, sqltx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(err)
	}
	s.tag, s.stream, s.seq, s.seenSeq = [16]byte(tag), stream, uint64(seq), uint64(seen)
	raw, err := e.keys.unwrap(e.sessionRow(s.tag), state)
	if err != nil {
		return nil, err
	}
	if s.state, err = ratchet.DecodeSession(raw); err != nil {
		return nil, failed(err)
	}
	return s, nil
}

// currentSession locks the session that is sealed with.
func (e *core) currentSession(ctx context.Context, c sqltx.Conn, remote string, lane int) (*session, error) {
	return e.lockSession(ctx, c, "remote = ? AND lane = ? AND slot = 0", remote, lane)
}

// sessionByTag locks the session that an envelope names.
func (e *core) sessionByTag(ctx context.Context, c sqltx.Conn, tag [16]byte) (*session, error) {
	return e.lockSession(ctx, c, "tag = ?", tag[:])
}

// insertSession writes a new one. It says false if there is one already of that tag, or
// in its slot.
func (e *core) insertSession(ctx context.Context, c sqltx.Conn, s *session) (bool, error) {
	now := e.nowUS()
	s.version = newVersion()
	n, err := c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_session", "local", "tag", "remote", "lane", "slot", "stream", "seq", "seen_seq", "version",
		"wrap_id", "state", "handshake", "born_us", "used_us", "until_us"),
		e.local, s.tag[:], s.remote, s.lane, s.slot, s.stream, int64(s.seq), int64(s.seenSeq), s.version,
		int64(e.keys.active), e.keys.wrap(e.sessionRow(s.tag), s.state.Encode()), notNil(s.handshake), s.born, now, s.until)
	return n == 1, failed(err)
}

// one expects that a statement affects a row, which another transaction has changed if not.
func one(what string) func(n int64) error {
	return func(n int64) error {
		if n != 1 {
			return text(ErrConflict, what)
		}
		return nil
	}
}

// saveSession writes what sealing or opening has changed. answered clears the handshake.
func (e *core) saveSession(ctx context.Context, c sqltx.Conn, s *session, answered bool) error {
	before := s.version
	s.version = newVersion()
	set, args := "", []any{s.version, int64(e.keys.active), e.keys.wrap(e.sessionRow(s.tag), s.state.Encode()), s.stream, int64(s.seq), int64(s.seenSeq), s.slot, e.nowUS()}
	if answered {
		s.handshake = nil
		set, args = ", handshake = ?", append(args, []byte{})
	}
	err := sqltx.Put(ctx, c, one("a session has changed"), "UPDATE waxwing_seal_session SET version = ?, wrap_id = ?, state = ?, stream = ?, seq = ?, seen_seq = ?, slot = ?, used_us = ?"+set+
		" WHERE local = ? AND tag = ? AND version = ?", append(args, e.local, s.tag[:], before)...)
	return failed(err)
}

// retire takes a peer's lane from the session that is sealed with, whose row need not be
// locked, and returns its stream and sequence, noStream and 0 if there is none.
func (e *core) retire(ctx context.Context, c sqltx.Conn, remote string, lane int) (stream int64, seq uint64, err error) {
	var last int64
	err = sqltx.One(ctx, c, "SELECT stream, seq FROM waxwing_seal_session WHERE local = ? AND remote = ? AND lane = ? AND slot = 0"+e.dialect.ForUpdate(),
		[]any{e.local, remote, lane}, &stream, &last)
	if errors.Is(err, sqltx.ErrNoRows) {
		return noStream, 0, nil
	}
	if err == nil {
		_, err = c.Exec(ctx, "UPDATE waxwing_seal_session SET slot = ?, version = version + 1 WHERE local = ? AND remote = ? AND lane = ? AND slot = 0",
			randomSlot(), e.local, remote, lane)
	}
	return stream, uint64(last), failed(err)
}

// randomSlot is a place among the sessions that are not sealed with.
func randomSlot() int64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:])>>2) + 1
}

// streamsMax is how many streams an identity can have: as many marks as a directory
// keeps.
const streamsMax = directory.LanesMax

// noStream is the stream of a session that a peer has begun, and that nothing was sealed
// with yet: numbers are few, and not for others to use up.
const noStream = -1

// streamOf is the number of the stream of a peer and lane, noStream if it has none, and the
// least that its next sequence is above.
func (e *core) streamOf(ctx context.Context, c sqltx.Conn, remote string, lane int) (number int64, low uint64, err error) {
	var l int64
	err = sqltx.One(ctx, c, "SELECT stream, low FROM waxwing_seal_stream WHERE local = ? AND remote = ? AND lane = ?", []any{e.local, remote, lane}, &number, &l)
	if errors.Is(err, sqltx.ErrNoRows) {
		return noStream, 0, nil
	}
	return number, uint64(l), failed(err)
}

// stream is streamOf, which gives a number if there is none.
func (e *core) stream(ctx context.Context, c sqltx.Conn, remote string, lane int) (number uint32, low uint64, err error) {
	for range 10 {
		n, l, err := e.streamOf(ctx, c, remote, lane)
		if err != nil || n != noStream {
			return uint32(n), l, err
		}
		if err := sqltx.One(ctx, c, "SELECT COALESCE(MAX(stream), -1) + 1 FROM waxwing_seal_stream WHERE local = ?", []any{e.local}, &n); err != nil {
			return 0, 0, failed(err)
		}
		if n >= streamsMax {
			if n, err = e.unusedStream(ctx, c); err != nil {
				return 0, 0, err
			}
		}
		if _, err := c.Exec(ctx, e.dialect.InsertOnce("waxwing_seal_stream", "local", "remote", "lane", "stream", "low"), e.local, remote, lane, n, 0); err != nil {
			return 0, 0, failed(err)
		}
	}
	return 0, 0, text(ErrConflict, "a stream's number")
}

// unusedStream is the least number that no stream has: one that the counter alone knows is
// noted with its own (lift), and may be high.
func (e *core) unusedStream(ctx context.Context, c sqltx.Conn) (free int64, err error) {
	err = sqltx.Each(ctx, c, "SELECT stream FROM waxwing_seal_stream WHERE local = ? ORDER BY stream", []any{e.local}, func(read func(...any) error) error {
		var n int64
		err := read(&n)
		if n == free {
			free++
		}
		return err
	})
	if err == nil && free >= streamsMax {
		return 0, errTooManyStreams
	}
	return free, failed(err)
}

var errTooManyStreams = errors.New("seal: an identity has at most 1024 pairs of a peer and a lane, groups included: use fewer lanes")
