package queue

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
