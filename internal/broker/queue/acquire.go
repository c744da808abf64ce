package queue

import "math"

// acquire takes several messages, for a time.
func (m *Machine) acquire(a *Acquire, r *AcquireReply) {
	*r = AcquireReply{Deliveries: r.Deliveries[:0]}
	q, err := m.find(a.Queue, a.Connection)
	if err != OK {
		r.Err = err
		return
	}
	ch := m.channel(a.Connection, a.Channel)
	m.used(q)
	m.touch(q)
	m.unlock(q)
	m.ripen(q)
	for len(r.Deliveries) < min(a.Max, callMax) {
		if ch.held >= channelInFlightMax {
			r.Err = LimitReached
			return
		}
		l, o, aside := m.next(q)
		if l == nil {
			return
		}
		r.Deliveries = append(r.Deliveries, m.hand(l, o, aside, ch, nil))
		if a.Lock > 0 {
			m.lock(l, o, m.now+millis(a.Lock))
		}
	}
}

// lock says when the flight of a message ends, unless it is settled before.
func (m *Machine) lock(l *liveLevel, o, until int64) {
	l.flights[o].until = until
	l.locks.push(heapItem{until, 0, o})
	l.q.locks++
}

// unlock releases the messages whose time has come.
func (m *Machine) unlock(q *liveQueue) {
	if q.locks == 0 {
		return
	}
	var b ending
	for _, l := range q.levels {
		for l.lockEnds() <= m.now {
			o := l.locks.pop().offset
			q.locks--
			m.release(&b, l.flights[o], false, false)
		}
	}
	m.end(&b)
	m.shed(q)
}

// lockEnds returns when the next of the level's flights ends by itself. Locks of
// which the message was settled go.
func (l *liveLevel) lockEnds() int64 {
	for len(l.locks) > 0 {
		x := l.locks[0]
		if f := l.flights[x.offset]; f != nil && f.until == x.key {
			return x.key
		}
		l.locks.pop()
		l.q.locks--
	}
	return math.MaxInt64
}
