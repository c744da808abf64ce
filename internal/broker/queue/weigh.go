package queue

// A quorum queue has two levels: high for messages with a priority above
// normalMax, and normal. Both are served, two to one; what came back goes
// before all.
const (
	normal    = 0
	high      = 1
	normalMax = 4
	// highTurns is how many messages are taken before a normal one has its
	// turn, if it is not younger than the high one that would be next.
	highTurns = 2
)

// levelOf is the level that a message of that priority belongs to.
func (q *queue) levelOf(priority uint8) uint8 {
	switch {
	case q.spec.Kind == Classic:
		return min(priority, q.spec.Settings.MaxPriority)
	case priority > normalMax:
		return high
	}
	return normal
}

// took counts messages that are taken, and did not come back.
func (q *liveQueue) took(n int64) { q.weight = (q.weight + n) % (highTurns + 1) }

// weighs says whether the next message is not simply that of the first level
// that has one.
func (q *liveQueue) weighs() bool { return q.spec.Kind == Quorum && len(q.levels) > 1 }

// first returns the level the head of which is the queue's next message, nil
// if none is ready.
func (q *liveQueue) first() *liveLevel {
	if q.weighs() {
		return weigh(q.levels[0], q.levels[1], q.weight == highTurns)
	}
	for _, l := range q.levels {
		if _, _, ok := l.head(); ok {
			return l
		}
	}
	return nil
}

// weigh is first for a queue with both levels; turn says that it is the turn of
// a normal message.
func weigh(hi, lo *liveLevel, turn bool) *liveLevel {
	h, _, some := hi.head()
	n, _, others := lo.head()
	switch {
	case !some && !others:
		return nil
	case !others:
		return hi
	case !some:
		return lo
	}
	a, b := hi.back(), lo.back()
	switch {
	case a != 0 && (b == 0 || a < b):
		return hi
	case b != 0 || turn && hi.before(h) > lo.position(n):
		return lo
	}
	return hi
}

// back returns which of the queue's messages that came back is the level's
// head, by when it did; 0 if the head did not.
func (l *liveLevel) back() uint64 {
	if len(l.aside) == 0 || l.aside[0].key != beforeAll {
		return 0
	}
	return l.aside[0].turn
}

// position returns which of the level's messages is the first that is not
// before message o.
func (l *level) position(o int64) int64 {
	if p := l.apart[o].place; p != (place{}) {
		return p.after + 1
	}
	return o
}

// before returns how many normal messages there had ever been when the high
// message o was added, or, if it was for later, the one that it is behind.
func (l *level) before(o int64) int64 {
	if p := l.apart[o].place; p != (place{}) {
		o = p.after
	}
	n, _ := l.younger.value(o)
	return n
}
