package queue

import (
	"cmp"
	"slices"
)

// find returns a queue that a connection may use.
func (m *Machine) find(id ID, conn ConnectionID) (*liveQueue, Fault) {
	q := m.queues[id]
	if q == nil {
		return nil, NotFound
	}
	return q, q.lockedFor(conn)
}

func (q *liveQueue) lockedFor(conn ConnectionID) Fault {
	if q.spec.Exclusive != 0 && q.spec.Exclusive != conn {
		return Locked
	}
	return OK
}

// declare makes a queue, or compares it with the one that is there.
func (m *Machine) declare(c *Declare) *DeclareReply {
	id := m.durable.Find(c.Spec.VHost, c.Spec.Name)
	switch {
	case id != 0:
		return m.declareAgain(m.queues[id], c)
	case c.Passive:
		return &DeclareReply{Err: NotFound}
	}
	if err := m.checkSpec(&c.Spec); err != OK {
		return &DeclareReply{Err: err}
	}
	id = m.durable.nextID
	spec := c.Spec
	spec.Settings = sane(spec.Settings)
	m.log(&declared{id, &spec})
	q := revive(m.durable.byID[id])
	m.queues[id] = q
	if spec.Exclusive != 0 {
		conn := m.connection(spec.Exclusive)
		conn.exclusive = append(conn.exclusive, id)
	}
	m.used(q)
	m.touch(q)
	return &DeclareReply{Queue: id, Created: true}
}

func (m *Machine) declareAgain(q *liveQueue, c *Declare) *DeclareReply {
	r := &DeclareReply{Queue: q.id, Err: q.lockedFor(c.Connection)}
	if r.Err == OK && !c.Passive {
		if r.Argument = differs(&q.spec, &c.Spec); r.Argument != "" {
			r.Err = Inequivalent
		}
	}
	if r.Err == OK {
		r.Ready, r.Consumers = q.readyCount(), len(q.consumers)
		m.used(q)
		m.touch(q)
	}
	return r
}

func (m *Machine) checkSpec(s *Spec) Fault {
	size := len(s.Arguments)
	for _, a := range s.Compared {
		size += len(a.Name) + len(a.Value)
	}
	switch {
	case len(s.Name) > NameBytesMax || len(s.VHost) > NameBytesMax:
		return BadName
	case size > argumentBytesMax:
		return TooLarge
	case len(m.queues) >= queuesMax || m.durable.vhosts[s.VHost] >= queuesPerVHostMax:
		return LimitReached
	}
	return OK
}

// sane returns settings with what is out of range brought into it.
func sane(s Settings) Settings {
	s.MaxLength, s.MaxBytes = max(s.MaxLength, None), max(s.MaxBytes, None)
	s.DeliveryLimit = max(s.DeliveryLimit, None)
	s.DedupWindow = min(max(s.DedupWindow, 0), dedupWindowMax)
	return s
}

// differs returns the name of what two declarations do not agree in, as
// DeclareReply.Argument gives it; empty if there is nothing.
func differs(a, b *Spec) string {
	switch {
	case a.Kind != b.Kind:
		return "kind"
	case a.Durable != b.Durable:
		return "durable"
	case a.AutoDelete != b.AutoDelete:
		return "auto-delete"
	case (a.Exclusive != 0) != (b.Exclusive != 0):
		return "exclusive"
	}
	x, y := a.Compared, b.Compared
	for len(x) > 0 && len(y) > 0 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	switch {
	case len(x) > 0 && (len(y) == 0 || x[0].Name <= y[0].Name):
		return x[0].Name
	case len(y) > 0:
		return y[0].Name
	}
	return ""
}

// deleteCommand deletes a queue if nothing is in the way.
func (m *Machine) deleteCommand(c *Delete) *DeleteReply {
	q, err := m.find(c.Queue, c.Connection)
	if err == Locked && c.Connection == 0 {
		err = OK
	}
	switch {
	case err == NotFound:
		return &DeleteReply{}
	case err != OK:
		return &DeleteReply{Err: err}
	case c.IfUnused && len(q.consumers) > 0:
		return &DeleteReply{Err: InUse}
	case c.IfEmpty && q.readyCount() > 0:
		return &DeleteReply{Err: NotEmpty}
	}
	r := &DeleteReply{Ready: q.readyCount()}
	m.deleteQueue(q)
	return r
}

// deleteQueue removes a queue with all that hangs on it.
func (m *Machine) deleteQueue(q *liveQueue) {
	for _, c := range slices.Clone(q.consumers) {
		m.effects.Cancelled = append(m.effects.Cancelled, Cancelled{c.id, c.channel.id})
		m.removeConsumer(c)
	}
	gone := Deleted{Queue: q.id, VHost: q.spec.VHost, Name: q.spec.Name}
	for _, l := range q.levels {
		for _, o := range sortedKeys(l.flights) {
			m.land(l.flights[o])
		}
		gone.Logs = append(gone.Logs, l.log)
	}
	m.effects.Deleted = append(m.effects.Deleted, gone)
	m.log(&deleted{q.id})
	m.timers.disarm(&q.timer)
	q.gone = true
	delete(m.queues, q.id)
	if conn := m.connections[q.spec.Exclusive]; conn != nil {
		remove(&conn.exclusive, q.id)
	}
}

// purge drops a queue's ready messages.
func (m *Machine) purge(c *Purge) *PurgeReply {
	q, err := m.find(c.Queue, c.Connection)
	if err != OK {
		return &PurgeReply{Err: err}
	}
	m.ripen(q)
	r := &PurgeReply{Purged: q.readyCount()}
	q.weight = 0
	for _, l := range q.levels {
		if spans := l.ready(); len(spans) > 0 {
			l.aside, l.cursor = nil, l.next
			m.settle(l, spans)
		}
	}
	m.touch(q)
	return r
}

// ready returns the level's ready messages.
func (l *liveLevel) ready() (spans []span) {
	l.skip()
	aside := make([]int64, 0, len(l.aside))
	for _, x := range l.aside {
		aside = append(aside, x.offset)
	}
	slices.Sort(aside)
	for _, o := range aside {
		spans = append(spans, span{o, o + 1})
	}
	from := l.cursor
	for _, o := range sortedKeys(l.apart) {
		if o < from {
			continue
		}
		if o > from {
			spans = append(spans, span{from, o})
		}
		from = o + 1
	}
	if from < l.next {
		spans = append(spans, span{from, l.next})
	}
	return spans
}

// inspect says what is known of one queue.
func (m *Machine) inspect(c *Inspect) *InspectReply {
	q := m.queues[c.Queue]
	if q == nil {
		return &InspectReply{Err: NotFound}
	}
	if err := q.lockedFor(c.Connection); err != OK && c.Connection != 0 {
		return &InspectReply{Err: err}
	}
	return &InspectReply{Info: q.info()}
}

func (q *liveQueue) info() Info {
	i := Info{
		Queue: q.id, Spec: &q.spec, Ready: q.readyCount(), Unacknowledged: q.flying,
		Moving: q.doomed, Delayed: q.delayed, Bytes: q.bytes,
	}
	for _, c := range q.consumers {
		i.Consumers = append(i.Consumers, ConsumerInfo{
			Consumer: c.id, Channel: c.channel.id, Connection: c.channel.connection.id,
			Prefetch: c.limit, NoAck: c.noAck, Exclusive: c.exclusive, Priority: c.priority,
			Active: !q.spec.Settings.SingleActive || q.active == c, Unacknowledged: c.inFlight,
		})
	}
	return i
}

// list says what is known of a vhost's queues.
func (m *Machine) list(c *List) *ListReply {
	r := &ListReply{}
	for _, q := range m.queues {
		if q.spec.VHost == c.VHost {
			r.Queues = append(r.Queues, q.info())
		}
	}
	slices.SortFunc(r.Queues, func(a, b Info) int { return cmp.Compare(a.Spec.Name, b.Spec.Name) })
	return r
}
