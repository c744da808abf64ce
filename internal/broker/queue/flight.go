package queue

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
