package seal

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"

	"github.com/waxwing-mq/waxwing/internal/sqltx"
)

// recent are sessions as this process has written them last, by which the next message is
// sealed without reading the row first. Whether the row is still, or ever was, what is
// remembered here (the transaction may have been rolled back, others may have opened or
// sealed meanwhile) is for the compare-and-swap to say: each write gives a session a
// version that no other write gives.
type recent struct {
	mu sync.Mutex
	by map[lane]*session
}

func newRecent() *recent { return &recent{by: map[lane]*session{}} }

// recentMax is how many sessions are remembered: as many as an identity can have for
// sealing.
const recentMax = streamsMax

// take hands out what is remembered of a lane, nil if nothing is. It is remembered no more.
func (r *recent) take(l lane) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.by[l]
	delete(r.by, l)
	return s
}

// keep remembers a session that was sealed with.
func (r *recent) keep(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.by) < recentMax {
		c := *s
		r.by[lane{s.remote, s.lane}] = &c
	}
}

// opened replaces what is remembered of a lane by the session as it is after a message was
// opened.
func (r *recent) opened(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := (lane{s.remote, s.lane}); r.by[l] != nil {
		c := *s
		r.by[l] = &c
	}
}

// newVersion is one that no other write has, or will have.
func newVersion() int64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return int64(binary.BigEndian.Uint64(b[:]) >> 2)
}

// sealRecent is sealTo by what is remembered. It returns nil if there is nothing, or it is
// not what the row says; what was sealed is seen by nobody then, and its numbers are free.
func (e *core) sealRecent(ctx context.Context, c sqltx.Conn, jobs []job) ([]sealedMessage, error) {
	s := e.recent.take(lane{jobs[0].to, jobs[0].lane})
	if s == nil || e.outlived(s) || s.stream == noStream || e.marks.beyond(s.state.SendIndex()) {
		return nil, nil
	}
	out, err := e.sealJobs(s, jobs)
	if err != nil {
		return nil, nil // what is wrong is said by who has read the row
	}
	before := s.version
	s.version = newVersion()
	n, err := c.Exec(ctx, "UPDATE waxwing_seal_session SET version = ?, wrap_id = ?, state = ?, seq = ?, used_us = ? WHERE local = ? AND tag = ? AND version = ? AND slot = 0",
		s.version, int64(e.keys.active), e.keys.wrap(e.sessionRow(s.tag), s.state.Encode()), int64(s.seq), e.nowUS(), e.local, s.tag[:], before)
	if err != nil || n == 0 {
		return nil, failed(err)
	}
	e.used(s)
	e.recent.keep(s)
	return out, nil
}

// used notes the numbers that a session has used up.
func (e *core) used(s *session) {
	if chain, next := s.state.SendIndex(); next > 0 {
		e.marks.used(chain, next-1)
	}
}

// sealJobs moves a session on by the messages of one lane.
func (e *core) sealJobs(s *session, jobs []job) (out []sealedMessage, err error) {
	out = make([]sealedMessage, len(jobs))
	for i, j := range jobs {
		if out[i], err = e.sealOne(s, j); err != nil {
			return nil, err
		}
	}
	return out, nil
}
