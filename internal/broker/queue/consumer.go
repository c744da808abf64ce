package queue

import (
	"cmp"
	"slices"
)

// connection is a client's connection.
type connection struct {
	id        ConnectionID
	channels  []*channel
	exclusive []ID // queues that go with it
}

// channel is what holds messages in flight, and what answers for them.
type channel struct {
	id         ChannelID
	connection *connection
	limit      int // for all consumers together; 0: none
	stopped    bool
	consumers  []*consumer
	inFlight   int         // of its consumers
	held       int         // with those that were got
	first      *flight     // the oldest
	last       *flight     // the latest
	blocked    []*consumer // that wait for the channel only
	waking     bool
}

// consumer is one that asked for messages.
type consumer struct {
	id         ConsumerID
	q          *liveQueue
	channel    *channel
	limit      int
	noAck      bool
	exclusive  bool
	priority   int32
	inFlight   int
	blocked    bool // it is in channel.blocked
	gone       bool
	turn       *turn // where it is lined up; nil: nowhere
	next, prev *consumer
}

// turn is the line of consumers of one priority that may get messages.
type turn struct {
	priority    int32
	members     int // consumers of the queue with this priority
	first, last *consumer
}

func (t *turn) push(c *consumer) {
	c.turn, c.prev, c.next = t, t.last, nil
	if t.last == nil {
		t.first = c
	} else {
		t.last.next = c
	}
	t.last = c
}

func (c *consumer) unline() {
	t := c.turn
	if t == nil {
		return
	}
	if c.prev == nil {
		t.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		t.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.turn, c.prev, c.next = nil, nil, nil
}

// open says whether the channel may get another message.
func (ch *channel) open() bool {
	return !ch.stopped && (ch.limit == 0 || ch.inFlight < ch.limit) && ch.held < channelInFlightMax
}

// block adds a consumer to those that wait for the channel, by priority.
func (ch *channel) block(c *consumer) {
	i := len(ch.blocked)
	for i > 0 && ch.blocked[i-1].priority < c.priority {
		i--
	}
	ch.blocked = slices.Insert(ch.blocked, i, c)
}

// wants says whether the consumer by itself may get another message.
func (c *consumer) wants() bool {
	return !c.gone && c.inFlight < c.limit && (!c.q.spec.Settings.SingleActive || c.q.active == c && !c.q.fading)
}

// lineUp puts a consumer in line if it may get messages, and says that its
// queue is to be looked at.
func (m *Machine) lineUp(c *consumer) {
	switch {
	case c.turn != nil || c.blocked || !c.wants():
	case !c.channel.open():
		c.blocked = true
		c.channel.block(c)
	default:
		c.q.turnOf(c.priority).push(c)
		m.touch(c.q)
	}
}

// lineUpBehind puts a consumer that got a message at the end of its line. With a
// classic queue it is there even if it may not have another one now: it keeps
// its place if it may by the time that its turn comes.
func (m *Machine) lineUpBehind(c *consumer) {
	if c.q.spec.Kind == Classic {
		c.q.turnOf(c.priority).push(c)
		return
	}
	m.lineUp(c)
}

// turnOf returns the line for a priority that some consumer has.
func (q *liveQueue) turnOf(priority int32) *turn {
	i, _ := q.findTurn(priority)
	return q.turns[i]
}

func (q *liveQueue) findTurn(priority int32) (int, bool) {
	return slices.BinarySearchFunc(q.turns, priority, func(t *turn, p int32) int { return cmp.Compare(p, t.priority) })
}

// nextConsumer returns who gets the next message: of those that may, one with
// the highest priority, whose turn it is. Those that may not, leave the line.
func (m *Machine) nextConsumer(q *liveQueue) *consumer {
	for _, t := range q.turns {
		for t.first != nil {
			c := t.first
			if c.wants() && c.channel.open() {
				return c
			}
			c.unline()
			m.lineUp(c)
		}
	}
	return nil
}

// wake has a channel's consumers lined up again, which waited for it.
func (m *Machine) wake(ch *channel) {
	if len(ch.blocked) > 0 && !ch.waking {
		ch.waking = true
		m.waking = append(m.waking, ch)
	}
}

// wakeOne lines up one consumer of a channel that woke up, so that a channel
// with little room and many consumers does not make them all run for it.
func (m *Machine) wakeOne(ch *channel) (more bool) {
	if !ch.open() || len(ch.blocked) == 0 {
		return false
	}
	c := ch.blocked[0]
	if ch.blocked = ch.blocked[1:]; len(ch.blocked) == 0 {
		ch.blocked = nil
	}
	c.blocked = false
	m.lineUp(c)
	return true
}

// addConsumer makes c one of its queue's and channel's consumers.
func (m *Machine) addConsumer(c *consumer) {
	q := c.q
	q.consumers = append(q.consumers, c)
	q.consumed = true
	c.channel.consumers = append(c.channel.consumers, c)
	m.consumers[c.id] = c
	i, ok := q.findTurn(c.priority)
	if !ok {
		q.turns = slices.Insert(q.turns, i, &turn{priority: c.priority})
	}
	q.turns[i].members++
	m.activate(q)
	m.lineUp(c)
}

// removeConsumer forgets a consumer. What it holds stays with its channel.
func (m *Machine) removeConsumer(c *consumer) {
	q := c.q
	c.unline()
	c.gone = true
	delete(m.consumers, c.id)
	remove(&q.consumers, c)
	remove(&c.channel.consumers, c)
	if c.blocked {
		remove(&c.channel.blocked, c)
		c.blocked = false
	}
	i, _ := q.findTurn(c.priority)
	if q.turns[i].members--; q.turns[i].members == 0 {
		q.turns = slices.Delete(q.turns, i, i+1)
	}
	if q.active == c {
		q.active = nil
	}
	m.activate(q)
}

// abandoned says what becomes of a queue whose consumer has gone.
func (m *Machine) abandoned(q *liveQueue) {
	if len(q.consumers) > 0 || q.gone {
		return
	}
	if q.spec.AutoDelete && q.consumed {
		m.deleteQueue(q)
		return
	}
	m.used(q)
	m.touch(q)
}

// activate chooses who gets messages of a queue with a single active consumer:
// the first in line with the highest priority. A quorum queue's active one
// gives way to a higher priority: it gets no more, and once it holds nothing it is
// replaced.
func (m *Machine) activate(q *liveQueue) {
	if !q.spec.Settings.SingleActive || len(q.consumers) == 0 {
		return
	}
	first := q.consumers[0]
	for _, c := range q.consumers {
		if c.priority > first.priority {
			first = c
		}
	}
	if old := q.active; old != nil {
		q.fading = q.spec.Kind == Quorum && first.priority > old.priority
		if !q.fading {
			m.lineUp(old) // what would have replaced it may be gone
			return
		}
		if old.inFlight > 0 {
			return
		}
		old.unline()
	}
	q.active, q.fading = first, false
	m.lineUp(first)
}

// remove takes x out of a list, the order of which stays.
func remove[T comparable](list *[]T, x T) {
	if i := slices.Index(*list, x); i >= 0 {
		*list = slices.Delete(*list, i, i+1)
	}
}
