package queue

// deliver gives ready messages to consumers while there are both.
func (m *Machine) deliver(q *liveQueue) {
	q.unfinished = false
	for len(q.turns) > 0 {
		l, o, aside := m.next(q)
		if l == nil {
			break
		}
		c := m.nextConsumer(q)
		if c == nil {
			break
		}
		if m.mayHand == 0 {
			q.unfinished = true
			break
		}
		m.mayHand--
		c.unline()
		m.effects.Deliveries = append(m.effects.Deliveries, m.hand(l, o, aside, c.channel, c))
		m.lineUpBehind(c)
	}
	m.flush()
}

// next returns the next ready message, nil if there is none. What has expired
// before it goes.
func (m *Machine) next(q *liveQueue) (l *liveLevel, o int64, aside bool) {
	if q.weighs() {
		return m.nextWeighed(q)
	}
	for _, l := range q.levels {
		for {
			o, aside, ok := l.head()
			if !ok {
				break
			}
			if l.expires(o) >= m.now {
				return l, o, aside
			}
			if !m.expireHead(l, o, aside) {
				break
			}
		}
	}
	return nil, 0, false
}

// nextWeighed is next for a quorum queue with two levels.
func (m *Machine) nextWeighed(q *liveQueue) (l *liveLevel, o int64, aside bool) {
	for l := q.first(); l != nil; l = q.first() {
		o, aside, _ := l.head()
		if l.expires(o) >= m.now {
			return l, o, aside
		}
		if !m.expireHead(l, o, aside) {
			break
		}
	}
	return nil, 0, false
}

// markStepMax is how far ahead of deliveries the mark is logged at most. A
// crash makes so many messages redelivered that were not. It is logged again
// when half of the way is left, so that deliveries need not wait for it.
const markStepMax = 1024

// hand takes a level's head and gives it to a channel; to none of its
// consumers if c is nil and it was got.
func (m *Machine) hand(l *liveLevel, o int64, aside bool, ch *channel, c *consumer) Delivery {
	redelivered, count := l.redelivered(o)
	d := Delivery{Channel: ch.id, Ref: l.ref(o), Log: l.log, Redelivered: redelivered, Count: count}
	if c != nil {
		d.Consumer, d.NoAck = c.id, c.noAck
	}
	l.take(aside)
	if d.NoAck {
		d.After = m.entries + 1
		m.done(l, o)
		return d
	}
	d.After = max(l.q.changed, m.mark(l, o))
	m.fly(l, o, count, ch, c)
	return d
}

// mark sees to it that after a crash a message is known as delivered, and returns
// the entry that says so.
func (m *Machine) mark(l *liveLevel, o int64) uint64 {
	step := min(max(o/2, 16), markStepMax)
	if o >= l.mark-step/2 {
		l.marks[0], l.marks[1] = l.marks[1], markEntry{o + step, m.entries + 1}
		m.facts.marked = marked{l.at(), o + step}
		m.log(&m.facts.marked)
	}
	if o < l.marks[0].mark {
		return l.marks[0].entry
	}
	return l.marks[1].entry
}
