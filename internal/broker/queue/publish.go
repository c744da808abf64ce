package queue

import (
	"math"
	"slices"
	"time"
)

// publish adds a message to all targets that take it, and appends to placed
// what became of it.
func (m *Machine) publish(placed []Placed, p *Publish) []Placed {
	for _, id := range p.Targets {
		placed = append(placed, m.append(id, &p.Message))
	}
	return placed
}

// append adds a message to a queue if that takes it.
func (m *Machine) append(id ID, msg *Message) Placed {
	q := m.queues[id]
	outcome := m.check(q, msg)
	if outcome != Accepted {
		return Placed{Queue: id, Outcome: outcome}
	}
	l := m.openLevel(q, q.levelOf(msg.Priority))
	f := &m.facts.appended
	*f = appended{at: l.at(), offset: l.next, expiry: m.expiry(q, msg), transient: msg.Transient && q.spec.Kind == Classic}
	if q.settings().MaxBytes >= 0 {
		f.size = msg.Size
	}
	if q.dedup != nil && len(msg.DedupID) <= DedupIDBytesMax {
		f.dedupID = msg.DedupID
	}
	f.notBefore = m.notBefore(msg)
	m.log(f)
	if f.notBefore != 0 {
		l.delayed.push(heapItem{f.notBefore, q.seq, f.offset})
		q.delayed++
	}
	m.touch(q)
	return Placed{id, Accepted, Place{l.log, f.offset}}
}

// check says what would become of a message at a queue. What is due there
// stands before it, and counts.
func (m *Machine) check(q *liveQueue, msg *Message) Outcome {
	if q == nil {
		return Gone
	}
	m.ripen(q)
	switch {
	case q.dedup != nil && msg.DedupID != "" && q.dedup.has(msg.DedupID):
		return Repeated
	}
	s := q.settings()
	full := s.MaxLength >= 0 && q.readyCount() >= s.MaxLength || s.MaxBytes >= 0 && q.readyBytes() > s.MaxBytes-msg.Size
	switch {
	case !full || s.Overflow == DropHead:
		return Accepted
	case s.Overflow == RejectPublishDeadLetter && s.HasDeadLetter:
		return RejectedDeadLetter
	}
	return RejectedFull
}

// openLevel returns the level of a priority, opened if need be.
func (m *Machine) openLevel(q *liveQueue, priority uint8) *liveLevel {
	if l := q.level(priority); l != nil {
		return l
	}
	m.log(&opened{at{q.id, priority}, max(m.nextLog(), m.durable.nextLog)})
	d, i := q.queue.level(priority)
	l := newLiveLevel(q, d)
	q.levels = slices.Insert(q.levels, i, l)
	return l
}

// notBefore returns when a message becomes ready, ms; 0: at once.
func (m *Machine) notBefore(msg *Message) int64 {
	if ms := unixMillis(msg.NotBefore); ms > m.now {
		return ms
	}
	return 0
}

// expiry returns when a message expires, ms; 0: never. The time of one that is
// for later begins when it is due.
func (m *Machine) expiry(q *liveQueue, msg *Message) int64 {
	ttl := millis(msg.ExpiresAfter)
	if own := millis(q.settings().TTL); own >= 0 && (ttl < 0 || own < ttl) {
		ttl = own
	}
	from := max(m.now, m.notBefore(msg))
	if ttl < 0 || ttl > math.MaxInt64-from {
		return 0
	}
	return from + ttl
}

// unixMillis is in ms, rounded up; the zero time is 0.
func unixMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Add(time.Millisecond - 1).UnixMilli()
}

// commit does all that a transaction holds.
func (m *Machine) commit(c *Commit) *CommitReply {
	r := &CommitReply{Placed: make([][]Placed, len(c.Publishes))}
	for i := range c.Publishes {
		r.Placed[i] = m.publish(nil, &c.Publishes[i])
	}
	for i := range c.Settles {
		r.Unknown += m.settleFlights(&c.Settles[i])
	}
	return r
}

// forgetTransient drops the messages that the end of the process removes. It
// returns whether there were any.
func (m *Machine) forgetTransient(q *liveQueue) (any bool) {
	for _, l := range q.levels {
		var spans []span
		l.transient.each(l.floor, l.next, func(v valueRun) { spans = append(spans, span{v.from, v.to}) })
		if len(spans) > 0 {
			m.settle(l, spans)
			any = true
		}
	}
	return any
}
