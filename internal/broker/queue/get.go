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
	m.unlock(q)
	m.ripen(q)
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
	// What has come to the head and is too old is not counted, but for a
	// quorum queue that waits for an acknowledgement.
	if q.spec.Kind == Classic || g.NoAck || g.SelfSettled {
		m.expire(q, m.now)
	}
	r.Ready = q.readyCount()
}
