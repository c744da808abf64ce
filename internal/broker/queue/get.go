package queue

import "math"

// get takes one message.
func (m *Machine) get(g *Get, r *GetReply) {
	*r = GetReply{}
	q, err := m.find(g.Queue, g.Connection)
	if err != OK {
		r.Err = err
		return
	}
	ch := m.channel(g.Connection, g.Channel)
	if ch.held >= channelInFlightMax {
		r.Err = LimitReached
		return
	}
	m.used(q)
	m.touch(q)
	m.ripen(q)
	ready := q.readyCount()
	m.mayDrop = math.MaxInt // "empty" must be true
	l, o, aside := m.next(q)
	if l == nil {
		return
	}
	r.Found = true
	if g.NoAck {
		redelivered, count := l.redelivered(o)
		r.Delivery = Delivery{Channel: ch.id, Ref: l.ref(o), Log: l.log, Redelivered: redelivered, Count: count, NoAck: true}
		l.take(aside)
		m.settleOne(l, o, o+1)
	} else {
		r.Delivery = m.hand(l, o, aside, ch, nil)
	}
	if q.spec.Kind == Quorum {
		r.Ready = ready - 1 // with what has expired and was not at the head
		return
	}
	m.expire(q) // what has come to the head and is too old is not counted
	r.Ready = q.readyCount()
}
