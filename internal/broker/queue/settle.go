package queue

// fate is what becomes of a message that does not stay in flight.
type fate uint8

const (
	comesBack fate = iota + 1
	goesBehind
	isDoomed
	isDropped
)

// ending gathers messages of one level that have the same fate, for one fact.
// The order in which they were added counts.
type ending struct {
	level     *liveLevel
	fate      fate
	reason    Reason
	count     uint32
	notBefore int64 // ms
	batch     batch
}

// settleFlights ends flights as the command says, and returns how many of them
// the channel does not hold.
func (m *Machine) settleFlights(s *Settle) (unknown int64) {
	ch := m.channels[s.Channel]
	b := ending{notBefore: unixMillis(s.NotBefore)}
	for _, r := range s.Refs {
		q := m.queues[r.Queue]
		if q == nil {
			continue // deleted, and its messages with it
		}
		l := q.level(r.Level)
		if l == nil || ch == nil {
			unknown += max(0, r.To-r.From)
			continue
		}
		end := r.To
		if end-r.From > channelInFlightMax { // no channel holds so many
			end = r.From + channelInFlightMax
			unknown += r.To - end
		}
		for o := r.From; o < end; o++ {
			if f := l.flights[o]; f == nil || f.channel != ch {
				unknown++
			} else {
				m.settleFlight(&b, s, f)
			}
		}
	}
	m.flush()
	m.end(&b)
	return unknown
}

func (m *Machine) settleFlight(b *ending, s *Settle, f *flight) {
	switch s.Kind {
	case Acknowledge:
		m.done(f.level, f.offset)
		m.land(f)
	case Release:
		m.release(b, f, s.Uncounted, f.level.q.requeues() && b.notBefore <= m.now)
	case Reject:
		l, o := f.level, f.offset
		m.land(f)
		m.discard(b, l, o, Rejected)
	}
}

// requeues says whether what a client releases goes behind all that are there: a
// quorum queue without a delivery limit gets past a message that nobody takes.
func (q *liveQueue) requeues() bool {
	return q.spec.Kind == Quorum && q.spec.Settings.DeliveryLimit < 0
}

// release ends a flight: the message comes back, to the end of its level if it
// is to stand behind the others, unless it did so too often.
func (m *Machine) release(b *ending, f *flight, uncounted, last bool) {
	l, o, count := f.level, f.offset, f.count
	m.land(f)
	if !uncounted && count < 1<<32-1 {
		count++
	}
	if limit := l.q.settings().DeliveryLimit; !uncounted && limit >= 0 && count > uint32(limit) {
		m.discard(b, l, o, DeliveryLimit)
		return
	}
	back := comesBack
	if last {
		back = goesBehind
	}
	m.ending(b, l, back, 0, count)
	b.batch.add(o)
}

// discard dead-letters or drops a message that is neither ready nor in flight.
func (m *Machine) discard(b *ending, l *liveLevel, o int64, why Reason) {
	fate := isDropped
	if l.q.settings().HasDeadLetter {
		fate = isDoomed
	}
	m.ending(b, l, fate, why, 0)
	b.batch.add(o)
}

// ending makes b one for messages of that level and fate.
func (m *Machine) ending(b *ending, l *liveLevel, f fate, why Reason, count uint32) {
	if b.level != l || b.fate != f || b.reason != why || b.count != count {
		m.end(b)
		b.level, b.fate, b.reason, b.count = l, f, why, count
	}
}

// end logs what b has gathered.
func (m *Machine) end(b *ending) {
	l := b.level
	if l == nil {
		return
	}
	spans := b.batch.spans
	m.changes(l.q)
	switch b.fate {
	case comesBack:
		m.facts.cameBack = cameBack{l.at(), b.count, b.notBefore, spans}
		m.log(&m.facts.cameBack)
		m.lineUpAgain(b, spans)
		l.q.regained = l.q.spec.Kind == Classic
	case goesBehind:
		m.facts.requeued = requeued{l.at(), b.count, spans}
		m.log(&m.facts.requeued)
		m.lineUpAgain(b, spans)
	case isDoomed:
		m.doom(l, spans, b.reason)
	case isDropped:
		m.settle(l, spans)
		m.dropped(l.q, b.reason, length(spans))
	}
	m.touch(l.q)
	b.level, b.batch.spans = nil, spans[:0]
}

// lineUpAgain makes messages that came back ready, now or when they are due.
func (m *Machine) lineUpAgain(b *ending, spans []span) {
	for _, s := range spans {
		for o := s.from; o < s.to; o++ {
			if b.notBefore > m.now {
				b.level.delayed.push(heapItem{b.notBefore, b.level.apart[o].seq, o})
				b.level.q.delayed++
			} else {
				b.level.lineUp(o)
			}
		}
	}
}

// doom logs that messages, neither ready nor in flight, are to be
// dead-lettered and nothing else.
func (m *Machine) doom(l *liveLevel, spans []span, why Reason) {
	m.changes(l.q)
	m.facts.condemned = condemned{l.at(), why, spans}
	m.log(&m.facts.condemned)
	for _, s := range spans {
		l.q.doomed += s.to - s.from
		l.q.doomedBytes += l.size(s.from, s.to)
		for o := s.from; o < s.to; o++ {
			l.q.moves.wait(l.ref(o))
		}
	}
}

func (m *Machine) dropped(q *liveQueue, why Reason, n int64) {
	m.effects.Dropped = append(m.effects.Dropped, Dropped{q.id, why, n})
}

func length(spans []span) (n int64) {
	for _, s := range spans {
		n += s.to - s.from
	}
	return n
}
