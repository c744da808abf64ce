package queue

import "slices"

// deliver gives ready messages to consumers while there are both.
func (m *Machine) deliver(q *liveQueue) {
	for {
		c := m.nextConsumer(q)
		if c == nil {
			break
		}
		l, o, back := m.next(q)
		if l == nil {
			break
		}
		c.unline()
		m.effects.Deliveries = append(m.effects.Deliveries, m.hand(l, o, back, c.channel, c))
		m.lineUp(c)
	}
	m.flush()
}

// next returns the next ready message, nil if there is none. What has expired
// before it goes.
func (m *Machine) next(q *liveQueue) (l *liveLevel, o int64, back bool) {
	for _, l := range q.levels {
		for {
			o, back, ok := l.head()
			if !ok {
				break
			}
			if l.expires(o) >= m.now {
				return l, o, back
			}
			if !m.expireHead(l, o, back) {
				break
			}
		}
	}
	return nil, 0, false
}

// markStepMax is how far ahead of deliveries the mark is logged at most. A
// crash makes so many messages redelivered that were not.
const markStepMax = 1024

// hand takes a level's head and gives it to a channel; to none of its
// consumers if c is nil and it was got.
func (m *Machine) hand(l *liveLevel, o int64, back bool, ch *channel, c *consumer) Delivery {
	redelivered, count := l.redelivered(o)
	d := Delivery{Channel: ch.id, Ref: l.ref(o), Log: l.log, Redelivered: redelivered, Count: count}
	if c != nil {
		d.Consumer, d.NoAck = c.id, c.noAck
	}
	l.take(back)
	if d.NoAck {
		m.done(l, o)
		return d
	}
	if o >= l.mark {
		step := min(max(o/2, 16), markStepMax)
		m.facts.marked = marked{l.at(), o + step}
		m.log(&m.facts.marked)
	}
	m.fly(l, o, count, ch, c)
	return d
}

// fly puts a message in flight.
func (m *Machine) fly(l *liveLevel, o int64, count uint32, ch *channel, c *consumer) {
	f := m.takeFlight()
	*f = flight{level: l, offset: o, count: count, channel: ch, consumer: c, prev: ch.last}
	if ch.last == nil {
		ch.first = f
	} else {
		ch.last.next = f
	}
	ch.last = f
	ch.held++
	if c != nil {
		c.inFlight++
		ch.inFlight++
	}
	if l.flights == nil {
		l.flights = map[int64]*flight{}
	}
	l.flights[o] = f
	l.many = l.many || len(l.flights) > flightsKept
	l.q.flying++
	l.q.flyingBytes += l.size(o, o+1)
}

// land ends a flight. Whoever has room now may get more.
func (m *Machine) land(f *flight) {
	l, ch, c := f.level, f.channel, f.consumer
	delete(l.flights, f.offset)
	if l.many && len(l.flights) == 0 {
		l.flights, l.many = nil, false
	}
	l.q.flying--
	l.q.flyingBytes -= l.size(f.offset, f.offset+1)
	if f.prev == nil {
		ch.first = f.next
	} else {
		f.prev.next = f.next
	}
	if f.next == nil {
		ch.last = f.prev
	} else {
		f.next.prev = f.prev
	}
	ch.held--
	if c != nil {
		c.inFlight--
		ch.inFlight--
		if l.q.fading && c.inFlight == 0 && l.q.active == c {
			m.activate(l.q)
		}
		m.lineUp(c)
	}
	m.wake(ch)
	m.giveFlight(f)
}

// flightsKept is how large a level's map of flights may have been to be kept
// when it is empty.
const flightsKept = 1024

// freeMax is how many flights are kept for later.
const freeMax = 1 << 16

func (m *Machine) takeFlight() *flight {
	f := m.free
	if f == nil {
		return &flight{}
	}
	m.free = f.next
	m.freeCount--
	return f
}

func (m *Machine) giveFlight(f *flight) {
	*f = flight{}
	if m.freeCount < freeMax {
		f.next, m.free = m.free, f
		m.freeCount++
	}
}

// subscribe adds a consumer.
func (m *Machine) subscribe(s *Subscribe) *SubscribeReply {
	q, err := m.find(s.Queue, s.Connection)
	if err != OK {
		return &SubscribeReply{Err: err}
	}
	ch := m.channel(s.Connection, s.Channel)
	switch {
	case m.consumers[s.Consumer] != nil:
		return &SubscribeReply{Err: Duplicate}
	case len(q.consumers) > 0 && (s.Exclusive || q.consumers[0].exclusive):
		return &SubscribeReply{Err: ExclusiveUse}
	case len(q.consumers) >= consumersQueueMax || len(ch.consumers) >= consumersChannelMax:
		return &SubscribeReply{Err: LimitReached}
	}
	limit := InFlightMax
	if s.Prefetch > 0 && !s.NoAck {
		limit = min(s.Prefetch, InFlightMax)
	}
	m.addConsumer(&consumer{
		id: s.Consumer, q: q, channel: ch, limit: limit,
		noAck: s.NoAck, exclusive: s.Exclusive, priority: s.Priority,
	})
	m.used(q)
	m.touch(q)
	return &SubscribeReply{}
}

// cancel removes a consumer.
func (m *Machine) cancel(c *Cancel) {
	if x := m.consumers[c.Consumer]; x != nil {
		m.removeConsumer(x)
		m.abandoned(x.q)
	}
}

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
	q.ripen(m.now)
	l, o, back := m.next(q)
	if l == nil {
		return
	}
	r.Found = true
	if g.NoAck {
		redelivered, count := l.redelivered(o)
		r.Delivery = Delivery{Channel: ch.id, Ref: l.ref(o), Log: l.log, Redelivered: redelivered, Count: count, NoAck: true}
		l.take(back)
		m.settleOne(l, o, o+1)
	} else {
		r.Delivery = m.hand(l, o, back, ch, nil)
	}
	r.Ready = q.readyCount()
}

// prefetch bounds what a channel's consumers may hold together.
func (m *Machine) prefetch(p *Prefetch) {
	ch := m.channel(p.Connection, p.Channel)
	ch.limit = max(p.Limit, 0)
	m.wake(ch)
}

// flow stops or resumes deliveries to a channel.
func (m *Machine) flow(f *Flow) {
	ch := m.channel(f.Connection, f.Channel)
	ch.stopped = f.Stopped
	m.wake(ch)
}

// channel returns a channel, made if need be.
func (m *Machine) channel(conn ConnectionID, id ChannelID) *channel {
	ch := m.channels[id]
	if ch == nil {
		c := m.connection(conn)
		ch = &channel{id: id, connection: c}
		m.channels[id] = ch
		c.channels = append(c.channels, ch)
	}
	return ch
}

func (m *Machine) connection(id ConnectionID) *connection {
	c := m.connections[id]
	if c == nil {
		c = &connection{id: id}
		m.connections[id] = c
	}
	return c
}

// closeChannel removes a channel's consumers and releases what it holds.
func (m *Machine) closeChannel(c *CloseChannel) {
	ch := m.channels[c.Channel]
	if ch == nil {
		return
	}
	m.dropConsumers(ch)
	m.dropChannel(ch)
	remove(&ch.connection.channels, ch)
	if conn := ch.connection; len(conn.channels) == 0 && len(conn.exclusive) == 0 {
		delete(m.connections, conn.id)
	}
}

func (m *Machine) dropConsumers(ch *channel) {
	for _, c := range slices.Clone(ch.consumers) {
		m.removeConsumer(c)
		m.abandoned(c.q)
	}
}

// dropChannel releases what a channel without consumers holds, the oldest
// first.
func (m *Machine) dropChannel(ch *channel) {
	var b ending
	for ch.first != nil {
		m.release(&b, ch.first, false)
	}
	m.end(&b)
	delete(m.channels, ch.id)
}

// closeConnection closes a connection's channels and deletes its exclusive
// queues. What its consumers held does not go to one of them.
func (m *Machine) closeConnection(c *CloseConnection) {
	conn := m.connections[c.Connection]
	if conn == nil {
		return
	}
	for _, ch := range conn.channels {
		m.dropConsumers(ch)
	}
	for _, id := range slices.Clone(conn.exclusive) {
		if q := m.queues[id]; q != nil {
			m.deleteQueue(q)
		}
	}
	for _, ch := range conn.channels {
		m.dropChannel(ch)
	}
	delete(m.connections, conn.id)
}
