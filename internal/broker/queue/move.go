package queue

// fetch asks for the bytes of messages that are to be dead-lettered.
func (m *Machine) fetch(q *liveQueue) {
	for r, ok := q.moves.next(m.now); ok; r, ok = q.moves.next(m.now) {
		l := q.level(r.Level)
		a := l.apart[r.Offset]
		m.effects.Fetches = append(m.effects.Fetches, Fetch{r, l.log, a.reason, a.count})
	}
}

// moving returns the level of a message that was asked for.
func (m *Machine) moving(r Ref) *liveLevel {
	q := m.queues[r.Queue]
	if q == nil {
		return nil
	}
	if _, ok := q.moves.underway[r]; !ok {
		return nil
	}
	return q.level(r.Level)
}

// move adds a fetched message to its targets and settles it.
func (m *Machine) move(c *Move, r *MoveReply) {
	*r = MoveReply{Placed: r.Placed[:0]}
	l := m.moving(c.Ref)
	if l == nil {
		r.Err = NotFound
		return
	}
	if !m.takeIt(c) {
		r.Err = Refused
		m.pause(l, c.Ref)
		return
	}
	o := c.Ref.Offset
	delete(l.q.moves.underway, c.Ref)
	l.q.doomed--
	l.q.doomedBytes -= l.size(o, o+1)
	m.settleOne(l, o, o+1)
	r.Placed = m.publish(r.Placed, &Publish{c.Targets, c.Message})
	m.touch(l.q)
}

// takeIt says whether no target of a move refuses it, and some are there if
// any are named.
func (m *Machine) takeIt(c *Move) bool {
	there := len(c.Targets) == 0
	for _, id := range c.Targets {
		switch m.check(m.queues[id], &c.Message) {
		case Accepted, Repeated:
			there = true
		case RejectedFull, RejectedDeadLetter:
			return false
		}
	}
	return there
}

// moveFailed puts a move off.
func (m *Machine) moveFailed(c *MoveFailed) {
	if l := m.moving(c.Ref); l != nil {
		m.pause(l, c.Ref)
	}
}

func (m *Machine) pause(l *liveLevel, r Ref) {
	l.q.moves.pause(r, m.now+movePause)
	m.touch(l.q)
}
