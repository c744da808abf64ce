package queue

// expire removes the ready heads that have expired by then, ms: of each level,
// or, where levels are weighed, as long as the next message has.
func (m *Machine) expire(q *liveQueue, by int64) {
	if q.weighs() {
		for l := q.first(); l != nil && m.expireNext(l, by); l = q.first() {
		}
		return
	}
	for _, l := range q.levels {
		for m.expireNext(l, by) {
		}
	}
}

// expireNext removes a level's head if it has expired by then. It returns false
// if there is none, or it has to wait.
func (m *Machine) expireNext(l *liveLevel, by int64) bool {
	o, aside, ok := l.head()
	return ok && l.expires(o) <= by && m.expireHead(l, o, aside)
}

// expireHead removes a level's head, which has expired, with those behind it
// that expired at the same time. It returns false if the head has to wait, since
// the call has done enough or too many are to be dead-lettered already.
func (m *Machine) expireHead(l *liveLevel, o int64, aside bool) bool {
	if !m.mayDropHead(l.q) {
		return false
	}
	if l.q.settings().HasDeadLetter {
		return m.doomHead(l, o, aside, Expired)
	}
	to := o + 1
	if !aside && len(l.apart) == 0 && !l.q.weighs() {
		run, _ := l.expiry.at(o)
		to = min(run.to, l.next)
	}
	l.take(aside)
	n := l.unsettled(o, to)
	l.q.took(n - 1) // the others
	m.dropped(l.q, Expired, n)
	if !aside {
		l.cursor = to
	}
	m.settleOne(l, o, to)
	return true
}

// mayDropHead says whether the call may remove another head.
func (m *Machine) mayDropHead(q *liveQueue) bool {
	if m.mayDrop == 0 {
		q.unfinished = true
		return false
	}
	m.mayDrop--
	return true
}

// doomHead dooms a level's head, if there are not too many.
func (m *Machine) doomHead(l *liveLevel, o int64, aside bool, why Reason) bool {
	if !l.q.moves.room() {
		return false
	}
	l.take(aside)
	m.facts.spans = append(m.facts.spans[:0], span{o, o + 1})
	m.doom(l, m.facts.spans, why)
	return true
}

// shed drops what is too much of a classic queue that got messages back, before
// any of them is delivered.
func (m *Machine) shed(q *liveQueue) {
	if q.regained {
		q.regained = false
		m.evict(q)
	}
}

// surplus says whether the queue has to drop its head.
func (q *liveQueue) surplus() bool {
	s := q.settings()
	return s.Overflow == DropHead && (s.MaxLength >= 0 && q.readyCount() > s.MaxLength || s.MaxBytes >= 0 && q.readyBytes() > s.MaxBytes)
}

// evict removes ready heads while the queue is too full. It returns whether it
// removed any.
func (m *Machine) evict(q *liveQueue) (any bool) {
	for q.surplus() && m.evictHead(q) {
		any = true
	}
	return any
}

func (m *Machine) evictHead(q *liveQueue) bool {
	if !m.mayDropHead(q) {
		return false
	}
	l := q.first()
	if l == nil {
		return false
	}
	o, aside, _ := l.head()
	if q.settings().HasDeadLetter {
		return m.doomHead(l, o, aside, MaxLength)
	}
	l.take(aside)
	m.settleOne(l, o, o+1)
	m.dropped(q, MaxLength, 1)
	return true
}
