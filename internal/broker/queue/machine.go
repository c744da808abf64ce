package queue

import (
	"fmt"
	"math"
	"time"

	"github.com/waxwing-mq/waxwing/internal/datafile"
	"github.com/waxwing-mq/waxwing/internal/enc"
)

// Machine decides what commands do to the queues of a shard. One goroutine
// owns it.
type Machine struct {
	durable     *Durable
	nextLog     func() datafile.LogID
	now         int64 // ms; never goes back
	started     bool
	queues      map[ID]*liveQueue
	connections map[ConnectionID]*connection
	channels    map[ChannelID]*channel
	consumers   map[ConsumerID]*consumer
	timers      timers
	dirty       []*liveQueue // that have to be looked at before the call ends
	waking      []*channel   // of which consumers may have to be lined up
	free        *flight      // that can be used again
	freeCount   int

	entries uint64 // so many were logged

	// What the call under way has brought about.
	entry    []byte
	mayHand  int // so many deliveries are left to it
	mayDrop  int // so many heads
	mayRipen int // so many may become ready that were not due
	effects  Effects
	batch    batch
	ripe     []int64 // offsets that became due
	facts    facts
	replies  replies
}

// facts are scratch, so that logging takes no memory.
type facts struct {
	appended  appended
	settled   settled
	marked    marked
	cameBack  cameBack
	condemned condemned
	ripened   ripened
	requeued  requeued
	spans     []span
}

// replies are those of the commands that come often.
type replies struct {
	publish PublishReply
	settle  SettleReply
	get     GetReply
	acquire AcquireReply
	move    MoveReply
	done    Done
}

// NewMachine continues from durable, to which every entry of the log has been
// applied, and takes it over: what was in flight is ready again. nextLog
// returns an id that no log of the shard outside of this package ever had, nor
// will have one below it; see also Durable.NextLog.
func NewMachine(durable *Durable, now time.Time, nextLog func() datafile.LogID) *Machine {
	m := &Machine{
		durable:     durable,
		nextLog:     nextLog,
		now:         now.UnixMilli(),
		queues:      make(map[ID]*liveQueue, len(durable.byID)),
		connections: map[ConnectionID]*connection{},
		channels:    map[ChannelID]*channel{},
		consumers:   map[ConsumerID]*consumer{},
	}
	for id, q := range durable.byID {
		m.queues[id] = revive(q)
	}
	return m
}

// Decide says what cmd brings about: an entry, nil if nothing durable changes,
// which the machine has applied to its Durable already and the caller logs;
// effects; and the reply. Effects and reply may be released when the entry is
// durable, deliveries earlier (Delivery.After). All three hold until the next
// call.
//
// The first call, Decide or Tick, also removes what does not outlive a
// process.
func (m *Machine) Decide(now time.Time, cmd Command) ([]byte, *Effects, Reply) {
	m.begin(now)
	reply := m.decide(cmd)
	m.settleDown()
	return m.logged(), &m.effects, reply
}

func (m *Machine) decide(cmd Command) Reply {
	switch c := cmd.(type) {
	case *Publish:
		m.replies.publish.Placed = m.publish(m.replies.publish.Placed[:0], c)
		return &m.replies.publish
	case *Settle:
		m.replies.settle.Unknown = m.settleFlights(c)
		return &m.replies.settle
	case *Commit:
		return m.commit(c)
	case *Get:
		m.get(c, &m.replies.get)
		return &m.replies.get
	case *Acquire:
		m.acquire(c, &m.replies.acquire)
		return &m.replies.acquire
	case *Move:
		m.move(c, &m.replies.move)
		return &m.replies.move
	case *Declare:
		return m.declare(c)
	case *Delete:
		return m.deleteCommand(c)
	case *Purge:
		return m.purge(c)
	case *Inspect:
		return m.inspect(c)
	case *List:
		return m.list(c)
	case *Subscribe:
		return m.subscribe(c)
	default:
		m.decideDone(cmd)
		return &m.replies.done
	}
}

// decideDone decides the commands that cannot fail.
func (m *Machine) decideDone(cmd Command) {
	switch c := cmd.(type) {
	case *Cancel:
		m.cancel(c)
	case *Prefetch:
		m.prefetch(c)
	case *Flow:
		m.flow(c)
	case *CloseChannel:
		m.closeChannel(c)
	case *CloseConnection:
		m.closeConnection(c)
	case *MoveFailed:
		m.moveFailed(c)
	default:
		panic(fmt.Sprintf("queue: command %T is not one of this package", cmd))
	}
}

// tickQueues is how many queues one Tick looks at.
const tickQueues = 256

// Tick does what is due by now: messages expire or ripen, locks end, moves are
// tried again, unused queues go. It is called after the commands that are at hand
// have been decided, at NextDeadline or at any other time; it returns as
// Decide does.
func (m *Machine) Tick(now time.Time) ([]byte, *Effects) {
	m.begin(now)
	for range tickQueues {
		t := m.timers.fired(m.now)
		if t == nil {
			break
		}
		m.due(t.q)
	}
	m.settleDown()
	return m.logged(), &m.effects
}

// due does what a queue's timer was armed for.
func (m *Machine) due(q *liveQueue) {
	if q.lease > 0 && q.lease <= m.now {
		m.deleteQueue(q)
		return
	}
	m.touch(q)
}

// NextDeadline returns when Tick must be called, at the latest. Nothing may be
// due by then. The zero time means that nothing is due ever.
func (m *Machine) NextDeadline() time.Time {
	if !m.started {
		return time.UnixMilli(m.now)
	}
	ms, ok := m.timers.next()
	if !ok || ms == math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Resume puts off the end of unused queues by stall: time in which the process
// stood still, so that nobody could use them.
func (m *Machine) Resume(stall time.Duration) {
	ms := max(stall.Milliseconds(), 0)
	for _, id := range sortedKeys(m.queues) {
		if q := m.queues[id]; q.lease > 0 {
			q.lease += ms
			m.arm(q)
		}
	}
}

// Durable returns the durable half, to take snapshots of.
func (m *Machine) Durable() *Durable { return m.durable }

// begin opens a call.
func (m *Machine) begin(now time.Time) {
	m.now = max(m.now, now.UnixMilli())
	m.entry = append(m.entry[:0], entryVersion)
	m.effects.reset()
	m.mayHand, m.mayDrop, m.mayRipen = callMax, callMax, callMax
	if !m.started {
		m.started = true
		m.start()
	}
}

// start removes queues and messages that do not outlive a process, and looks
// at all queues once.
func (m *Machine) start() {
	for _, id := range sortedKeys(m.queues) {
		q := m.queues[id]
		if !q.spec.Durable || q.spec.Exclusive != 0 {
			m.deleteQueue(q)
			continue
		}
		if q.spec.Kind == Classic && m.forgetTransient(q) {
			q = revive(q.queue)
			m.queues[id] = q
		}
		m.used(q)
		m.touch(q)
	}
}

// logged returns the entry, nil if there is nothing in it.
func (m *Machine) logged() []byte {
	if len(m.entry) == 1 {
		return nil
	}
	m.entries++
	return m.entry
}

// Entries is how many entries the machine has made.
func (m *Machine) Entries() uint64 { return m.entries }

// changes says that the entry under way changes what a delivery of the queue
// shows, or which message is next, by more than an acknowledgement.
func (m *Machine) changes(q *liveQueue) { q.changed = m.entries + 1 }

// log adds a fact to the entry and to the state. What is applied is the
// encoding, as in recovery.
func (m *Machine) log(f fact) {
	n := len(m.entry)
	m.entry = f.encode(m.entry)
	r := enc.NewReader(m.entry[n:])
	if err := m.durable.applyFact(&r); err != nil || r.Len() > 0 {
		panic(fmt.Sprintf("a decided fact does not apply: %v", err))
	}
}

// touch says that a queue has to be looked at before the call ends.
func (m *Machine) touch(q *liveQueue) {
	if !q.dirty && !q.gone {
		q.dirty = true
		m.dirty = append(m.dirty, q)
	}
}

// settleDown first gives what is ready to whoever may have it, until nothing
// moves any more; then it drops what has to go of the rest.
func (m *Machine) settleDown() {
	for i, w := 0, 0; ; {
		switch {
		case i < len(m.dirty):
			q := m.dirty[i]
			i++
			q.dirty = false
			if !q.gone {
				m.unlock(q)
				m.ripen(q)
				m.shed(q)
				m.deliver(q)
			}
		case w < len(m.waking):
			if ch := m.waking[w]; !m.wakeOne(ch) {
				ch.waking = false
				w++
			}
		default:
			m.tidy()
			clear(m.dirty)
			clear(m.waking)
			m.dirty, m.waking = m.dirty[:0], m.waking[:0]
			return
		}
	}
}

// tidy looks at every queue that was touched: expired heads go, then surplus
// ones, and what is doomed is asked for. None of it lets a delivery happen. In a
// classic queue what expires this very moment goes after what is surplus.
func (m *Machine) tidy() {
	for _, q := range m.dirty {
		if q.gone || q.tidy {
			continue
		}
		q.tidy = true
		if q.spec.Kind == Classic && q.surplus() {
			m.expire(q, m.now-1)
			m.evict(q)
		}
		m.expire(q, m.now)
		if m.evict(q) {
			m.expire(q, m.now) // another one is the head now
		}
		m.fetch(q)
		m.arm(q)
	}
	for _, q := range m.dirty {
		q.tidy = false
	}
}

// arm sets the queue's timer.
func (m *Machine) arm(q *liveQueue) {
	at := q.due()
	if q.unfinished {
		at = m.now
	}
	if at != math.MaxInt64 {
		m.timers.arm(&q.timer, at)
	} else {
		m.timers.disarm(&q.timer)
	}
}

// used says that a queue was used now: its lease begins anew, and does not run
// while it has consumers.
func (m *Machine) used(q *liveQueue) {
	q.lease = 0
	if q.spec.Settings.Expires > 0 && len(q.consumers) == 0 {
		q.lease = m.now + millis(q.spec.Settings.Expires)
	}
}
