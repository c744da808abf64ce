package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/waxwing-mq/waxwing/internal/lane"
)

// A partition is one that is ours: what was taken over from it and is not yet
// handled, in order.
type partition struct {
	at     topicPartition
	s      *session
	source *lane.Source
	lane   *lane.Lane // if partitions are lanes

	mu        sync.Mutex
	pending   []*pending // by offset; the first is not done
	next      kgo.EpochOffset
	committed int64 // the offset last committed; next is ahead of it if there is something to commit
	paused    bool
}

// A pending is a record that is with a handler, waits for it, or is done while one
// before it is not.
type pending struct {
	after kgo.EpochOffset // to commit if this and all before are done
	done  bool
}

// newPartition begins with a record of that offset.
func newPartition(s *session, at topicPartition, offset int64) *partition {
	p := &partition{at: at, s: s, source: lane.NewSource(s.ctx), committed: offset, next: kgo.EpochOffset{Epoch: -1, Offset: offset}}
	if s.lanes == nil {
		p.lane = lane.NewLane(s.runner)
	}
	return p
}

// expect notes a record that is about to be put into a lane. If there are many the
// partition pauses.
func (p *partition) expect(r *kgo.Record) *pending {
	q := &pending{after: kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, q)
	if !p.paused && len(p.pending) >= p.s.cfg.laneLimit {
		p.paused = true
		p.s.cl.PauseFetchPartitions(map[string][]int32{p.at.topic: {p.at.partition}})
	}
	return q
}

// done notes that a record is handled.
func (p *partition) done(q *pending) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.done = true
	for len(p.pending) > 0 && p.pending[0].done {
		p.next = p.pending[0].after
		p.pending[0] = nil
		p.pending = p.pending[1:]
	}
	if p.paused && len(p.pending) <= p.s.cfg.laneLimit/2 {
		p.resume()
	}
}

// resume has records fetched again. p.mu must be held.
func (p *partition) resume() {
	p.paused = false
	p.s.cl.ResumeFetchPartitions(map[string][]int32{p.at.topic: {p.at.partition}})
}

// toCommit is the offset to commit, if it is a new one.
func (p *partition) toCommit() (kgo.EpochOffset, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next, p.next.Offset > p.committed
}

// isCommitted notes that an offset is committed.
func (p *partition) isCommitted(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed = max(p.committed, offset)
}

// end ends the handlers and waits for them. What waits in lanes is dropped.
func (p *partition) end() {
	p.source.End()
	if p.lane != nil {
		p.lane.Close()
		p.lane.Wait()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paused {
		p.resume()
	}
}
