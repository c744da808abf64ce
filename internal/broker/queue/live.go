package queue

import "math"

// liveQueue is a queue with what is known of it only as long as the process
// lives: who gets what next, and who holds what.
type liveQueue struct {
	*queue
	levels []*liveLevel // as queue.levels

	consumers []*consumer // in the order in which they came
	turns     []*turn     // who is next, the highest consumer priority first
	active    *consumer   // the one that gets messages, with SingleActive
	regained  bool        // a classic queue got messages back in this call
	fading    bool        // the active one is to be replaced when it holds nothing
	consumed  bool        // there was a consumer

	flying      int64 // messages in flight
	flyingBytes int64
	doomed      int64 // messages to be dead-lettered
	doomedBytes int64
	delayed     int64  // messages that are not due yet
	locks       int    // in the levels' heaps
	ready       uint64 // what came back so far, for returned order
	weight      int64  // taken of those that did not come back, for a quorum queue's turns
	moves       moves

	// changed is the last entry that says more of the queue's messages than
	// that they were added, delivered or acknowledged.
	changed uint64

	lease int64 // ms, when the queue goes if it is not used; 0: never
	timer timer
	dirty bool // deliveries may be due
	tidy  bool // it was tidied in this call
	// unfinished says that the call ended before all was done that can be.
	unfinished bool
	gone       bool
}

// liveLevel is the same for one level.
type liveLevel struct {
	*level
	q         *liveQueue
	cursor    int64        // the next message that was never delivered
	recovered int64        // what an earlier process may have delivered lies below
	marks     [2]markEntry // level.mark and the one before it
	aside     heap         // ready messages that came back, or were published for later, in order
	delayed   heap         // messages that are not due yet, by when they are
	flights   map[int64]*flight
	locks     heap // when flights end by themselves; some may have ended before
	many      bool // flights has grown so large that it is not kept
}

// markEntry is a level's mark, and the entry that logged it.
type markEntry struct {
	mark  int64
	entry uint64
}

// flight is one message that a channel holds.
type flight struct {
	level      *liveLevel
	offset     int64
	count      uint32
	channel    *channel
	consumer   *consumer // nil: it was got or acquired
	until      int64     // ms, when it ends by itself; 0: never
	next, prev *flight   // of the channel, in the order of delivery
}

// revive makes the live half of a queue. Everything that was in flight is
// ready again.
func revive(q *queue) *liveQueue {
	lq := &liveQueue{queue: q}
	lq.timer.q = lq
	for _, l := range q.levels {
		lq.levels = append(lq.levels, newLiveLevel(lq, l))
	}
	lq.recallApart()
	return lq
}

func newLiveLevel(q *liveQueue, l *level) *liveLevel {
	return &liveLevel{level: l, q: q, cursor: l.floor, recovered: min(l.mark, l.next),
		marks: [2]markEntry{{mark: l.mark}, {mark: l.mark}}}
}

// recallApart sorts the messages that were put apart by when they were, over
// all levels, and lines them up.
func (q *liveQueue) recallApart() {
	type item struct {
		l      *liveLevel
		offset int64
	}
	var bySeq map[uint64]item
	for _, l := range q.levels {
		for o, a := range l.apart {
			if bySeq == nil {
				bySeq = map[uint64]item{}
			}
			bySeq[a.seq] = item{l, o}
		}
	}
	for _, seq := range sortedKeys(bySeq) {
		x := bySeq[seq]
		a := x.l.apart[x.offset]
		switch {
		case a.state == doomed:
			q.doomed++
			q.doomedBytes += x.l.size(x.offset, x.offset+1)
			q.moves.wait(x.l.ref(x.offset))
		case a.notBefore != 0: // ripen finds out whether it is due
			q.delayed++
			x.l.delayed.push(heapItem{a.notBefore, a.seq, x.offset})
		default:
			x.l.lineUp(x.offset)
		}
	}
}

func (q *liveQueue) settings() *Settings { return &q.spec.Settings }

// readyCount is the number of messages that could be delivered now.
func (q *liveQueue) readyCount() int64 { return q.count - q.flying - q.doomed - q.delayed }

// readyBytes is the same in bytes; delayed messages count as ready.
func (q *liveQueue) readyBytes() int64 { return q.bytes - q.flyingBytes - q.doomedBytes }

// level returns the live level of a priority, nil if there is none.
func (q *liveQueue) level(priority uint8) *liveLevel {
	for _, l := range q.levels {
		if l.priority == priority {
			return l
		}
	}
	return nil
}

func (l *liveLevel) ref(o int64) Ref { return Ref{l.q.id, l.priority, o} }

func (l *liveLevel) at() at { return at{l.q.id, l.priority} }

// lineUp makes a message ready that was put apart: one that came back where it
// stood before, or with a quorum queue before all that never were delivered,
// and one that was delayed, or came back behind the others, where it stands
// since then.
func (l *liveLevel) lineUp(o int64) {
	a := l.apart[o]
	x := heapItem{a.place.after, a.place.turn, o}
	switch {
	case a.state == returned && l.q.spec.Kind == Quorum:
		l.q.ready++
		x.key, x.turn = beforeAll, l.q.ready
	case a.place == place{}:
		x.key = o
	}
	l.aside.push(x)
}

// beforeAll is a key before that of any offset.
const beforeAll = -1

// ripen lines up the delayed messages that are due. Each stands behind those
// that are there when it is due, which is logged. What a call may not do any more
// the next Tick does: the queue stays due.
func (m *Machine) ripen(q *liveQueue) {
	var last *liveLevel
	for m.mayRipen > 0 {
		l := q.soonest(m.now)
		if l == nil {
			break
		}
		if l != last && last != nil {
			m.lineUpRipe(last)
		}
		m.ripe = append(m.ripe, l.delayed.pop().offset)
		q.delayed--
		m.mayRipen--
		last = l
	}
	if last != nil {
		m.lineUpRipe(last)
	}
}

// soonest returns the level with the message that was due first, nil if none is
// due.
func (q *liveQueue) soonest(now int64) (first *liveLevel) {
	if q.delayed == 0 {
		return nil
	}
	for _, l := range q.levels {
		if len(l.delayed) > 0 && l.delayed[0].key <= now && (first == nil || l.delayed[0].less(first.delayed[0])) {
			first = l
		}
	}
	return first
}

// lineUpRipe lines up messages of a level that are due.
func (m *Machine) lineUpRipe(l *liveLevel) {
	m.logRipe(l)
	for _, o := range m.ripe {
		l.lineUp(o)
	}
	m.ripe = m.ripe[:0]
}

// logRipe logs which of the messages that became due were published for later.
// Those that came back and had to wait stand where they stood.
func (m *Machine) logRipe(l *liveLevel) {
	spans := m.facts.spans[:0]
	for _, o := range m.ripe {
		switch n := len(spans); {
		case l.apart[o].state != delayed:
		case n > 0 && spans[n-1].to == o:
			spans[n-1].to++
		default:
			spans = append(spans, span{o, o + 1})
		}
	}
	if m.facts.spans = spans; len(spans) > 0 {
		m.changes(l.q)
		m.facts.ripened = ripened{l.at(), spans}
		m.log(&m.facts.ripened)
	}
}

// head returns the level's next ready message, and whether it was put apart.
func (l *liveLevel) head() (o int64, aside, ok bool) {
	l.skip()
	fresh := l.cursor < l.next
	if len(l.aside) == 0 {
		return l.cursor, false, fresh
	}
	top := l.aside[0]
	if fresh && !top.less(heapItem{l.cursor, 0, l.cursor}) {
		return l.cursor, false, true
	}
	return top.offset, true, true
}

// skip moves the cursor over messages that are settled or put apart.
func (l *liveLevel) skip() {
	for l.cursor < l.next {
		l.cursor = l.settled.absent(l.cursor)
		if _, apart := l.apart[l.cursor]; !apart {
			return
		}
		l.cursor++
	}
}

// take removes the head from what is ready.
func (l *liveLevel) take(aside bool) {
	if aside {
		if l.aside.pop().key == beforeAll {
			return
		}
	} else {
		l.cursor++
	}
	l.q.took(1)
}

// expires returns when a message expires, ms.
func (l *liveLevel) expires(o int64) int64 {
	if at, ok := l.expiry.value(o); ok {
		return at
	}
	return math.MaxInt64
}

// redelivered says whether somebody may have had the message before.
func (l *liveLevel) redelivered(o int64) (bool, uint32) {
	if o < l.recovered {
		return true, l.apart[o].count
	}
	a := l.apart[o]
	return a.state == returned || a.state == behind, a.count
}

// due returns when the queue has something to do by itself.
func (q *liveQueue) due() int64 {
	at := int64(math.MaxInt64)
	if q.lease > 0 {
		at = q.lease
	}
	for _, l := range q.levels {
		if len(l.delayed) > 0 {
			at = min(at, l.delayed[0].key)
		}
		at = min(at, l.lockEnds())
		if o, _, ok := l.head(); ok && q.moves.room() && (!q.weighs() || l == q.first()) {
			at = min(at, l.expires(o))
		}
	}
	return min(at, q.moves.due())
}
