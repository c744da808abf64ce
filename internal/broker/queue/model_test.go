package queue

import (
	"cmp"
	"maps"
	"slices"
)

// model is the machine again, as plain as can be: queues are lists of
// messages, and every question is answered by looking at all of them. It does
// not say whose turn it is among consumers that may have a message.
type model struct {
	now      int64 // ms
	queues   map[ID]*modelQueue
	channels map[ChannelID]*modelChannel
	nextID   ID
	order    int // of deliveries
	born     int // of channels

	// What the call under way has to bring about.
	deleted   []ID
	cancelled []ConsumerID
	dropped   map[modelDrop]int64
	gone      []Ref
}

type modelDrop struct {
	queue  ID
	reason Reason
}

type modelQueue struct {
	id        ID
	spec      Spec
	messages  []*modelMessage // that are not settled
	consumers []*modelConsumer
	active    ConsumerID
	consumed  bool
	regained  bool // got something back, and has not shed what is too much
	next      map[uint8]int64
	lease     int64 // ms
	ids       []string
	seq, ripe int
	taken     int             // of those that did not come back, for turns
	younger   map[int64]int64 // of quorum queues: low messages so far, by high offset
}

type modelState uint8

const (
	modelReady modelState = iota
	modelDelayed
	modelFlying
	modelDoomed
)

type modelMessage struct {
	ref       Ref
	expiry    int64 // ms; 0: never
	size      int64
	transient bool
	state     modelState
	count     uint32
	seq       int   // when it was put apart; 0: never
	ripe      int   // when it became ready again
	after     int64 // with turn: where it stands since it became due
	turn      int
	notBefore int64 // ms
	returned  bool
	behind    bool // and it stands behind what was there then
	delivered bool // somebody had it
	restarted bool // since it was published
	channel   ChannelID
	consumer  ConsumerID // 0: it was got
	order     int
	until     int64 // ms, when it comes back by itself; 0: never
	reason    Reason
	paused    int64 // ms; 0: it is under way
	fetched   bool
}

type modelConsumer struct {
	id        ConsumerID
	channel   *modelChannel
	limit     int
	noAck     bool
	exclusive bool
	priority  int32
}

type modelChannel struct {
	id         ChannelID
	connection ConnectionID
	limit      int
	stopped    bool
	born       int
}

func newModel(now int64) *model {
	return &model{now: now, queues: map[ID]*modelQueue{}, channels: map[ChannelID]*modelChannel{}, nextID: 1}
}

// clone copies what survives a crash.
func (m *model) clone() *model {
	c := newModel(m.now)
	c.nextID, c.order = m.nextID, m.order
	for id, q := range m.queues {
		x := *q
		x.messages = nil
		for _, msg := range q.messages {
			y := *msg
			x.messages = append(x.messages, &y)
		}
		x.consumers, x.active, x.consumed, x.taken = nil, 0, false, 0
		x.younger = maps.Clone(q.younger)
		x.next = map[uint8]int64{}
		for l, n := range q.next {
			x.next[l] = n
		}
		x.ids = slices.Clone(q.ids)
		c.queues[id] = &x
	}
	return c
}

// restart is what a crash leaves: m is a clone.
func (m *model) restart() {
	for _, id := range sortedKeys(m.queues) {
		q := m.queues[id]
		if !q.spec.Durable || q.spec.Exclusive != 0 {
			m.delete(q)
			continue
		}
		for _, msg := range slices.Clone(q.messages) {
			if msg.transient && q.spec.Kind == Classic {
				m.settle(q, msg)
			}
		}
		m.used(q)
		for _, msg := range slices.SortedFunc(slices.Values(q.messages), func(a, b *modelMessage) int { return a.seq - b.seq }) {
			msg.restarted, msg.fetched, msg.paused = true, false, 0
			switch {
			case msg.state == modelDoomed:
			case msg.seq != 0 && msg.notBefore != 0:
				msg.state = modelDelayed
			default:
				msg.state = modelReady
				if msg.returned && !msg.behind {
					q.ripen(msg)
				}
			}
		}
	}
	m.ripenAll()
}

func (q *modelQueue) ripen(msg *modelMessage) {
	msg.state = modelReady
	q.ripe++
	msg.ripe = q.ripe
}

// unlockAll gives back what was acquired for a time that is over.
func (m *model) unlockAll() {
	for _, q := range m.queues {
		var over []*modelMessage
		for _, msg := range q.messages {
			if msg.state == modelFlying && msg.until != 0 && msg.until <= m.now {
				over = append(over, msg)
			}
		}
		slices.SortFunc(over, func(a, b *modelMessage) int {
			return cmp.Or(cmp.Compare(b.ref.Level, a.ref.Level), cmp.Compare(a.until, b.until), cmp.Compare(a.ref.Offset, b.ref.Offset))
		})
		for _, msg := range over {
			m.release(q, msg, 0, false, false)
		}
	}
	m.shed()
}

// ripenAll makes ready what is due.
func (m *model) ripenAll() {
	for _, q := range m.queues {
		var due []*modelMessage
		for _, msg := range q.messages {
			if msg.state == modelDelayed && msg.notBefore <= m.now {
				due = append(due, msg)
			}
		}
		slices.SortFunc(due, func(a, b *modelMessage) int {
			return cmp.Or(cmp.Compare(a.notBefore, b.notBefore), cmp.Compare(a.seq, b.seq))
		})
		for _, msg := range due {
			if msg.returned {
				q.ripen(msg)
				continue
			}
			q.seq++
			msg.state, msg.seq, msg.notBefore = modelReady, q.seq, 0
			msg.after, msg.turn = q.next[msg.ref.Level]-1, q.seq
		}
	}
}

// count counts messages in a state, and their bytes.
func (q *modelQueue) count(state modelState) (n, bytes int64) {
	for _, msg := range q.messages {
		if msg.state == state {
			n++
			bytes += msg.size
		}
	}
	return n, bytes
}

func (q *modelQueue) find(ref Ref) *modelMessage {
	for _, msg := range q.messages {
		if msg.ref == ref {
			return msg
		}
	}
	return nil
}

// heads returns the ready head of each level, the highest first.
func (q *modelQueue) heads() []*modelMessage {
	best := map[uint8]*modelMessage{}
	for _, msg := range q.messages {
		if old := best[msg.ref.Level]; msg.state == modelReady && (old == nil || q.before(msg, old)) {
			best[msg.ref.Level] = msg
		}
	}
	if lo, hi := best[0], best[1]; q.spec.Kind == Quorum && lo != nil && hi != nil {
		delete(best, 1)
		if q.prefers(hi, lo) {
			best = map[uint8]*modelMessage{1: hi}
		}
	}
	var heads []*modelMessage
	for _, l := range sortedKeys(best) {
		heads = slices.Insert(heads, 0, best[l])
	}
	return heads
}

// prefers says whether a quorum queue's high message goes before its low one.
func (q *modelQueue) prefers(hi, lo *modelMessage) bool {
	if hi.ripe != 0 || lo.ripe != 0 {
		return hi.ripe != 0 && (lo.ripe == 0 || hi.ripe < lo.ripe)
	}
	at := lo.place()
	if lo.turn != 0 {
		at++
	}
	return q.taken%3 != 2 || at >= q.younger[hi.place()]
}

// take counts a ready message that leaves the line.
func (q *modelQueue) take(msg *modelMessage) {
	if msg.ripe == 0 {
		q.taken++
	}
}

func (q *modelQueue) before(a, b *modelMessage) bool {
	if q.spec.Kind == Quorum && (a.ripe != 0 || b.ripe != 0) {
		return b.ripe == 0 || a.ripe != 0 && a.ripe < b.ripe
	}
	return cmp.Or(cmp.Compare(a.place(), b.place()), cmp.Compare(a.turn, b.turn)) < 0
}

// place is the offset that a message stands at or, with a turn, behind.
func (msg *modelMessage) place() int64 {
	if msg.turn != 0 {
		return msg.after
	}
	return msg.ref.Offset
}

// next returns the message that is delivered next. What expired before it is
// gone.
func (m *model) next(q *modelQueue) *modelMessage {
	for {
		heads := q.heads()
		if len(heads) == 0 {
			return nil
		}
		if msg := heads[0]; msg.expiry == 0 || msg.expiry >= m.now {
			return msg
		}
		m.discard(q, heads[0], Expired)
	}
}

// settle forgets a message.
func (m *model) settle(q *modelQueue, msg *modelMessage) {
	remove(&q.messages, msg)
	m.gone = append(m.gone, msg.ref)
}

// discard dead-letters or drops a message.
func (m *model) discard(q *modelQueue, msg *modelMessage, why Reason) {
	if msg.state == modelReady {
		q.take(msg)
	}
	if q.spec.Settings.HasDeadLetter {
		q.seq++
		msg.state, msg.reason, msg.seq, msg.paused, msg.fetched = modelDoomed, why, q.seq, 0, false
		msg.notBefore, msg.returned = 0, false
		return
	}
	m.settle(q, msg)
	m.drop(q, why, 1)
}

func (m *model) drop(q *modelQueue, why Reason, n int64) {
	if m.dropped == nil {
		m.dropped = map[modelDrop]int64{}
	}
	m.dropped[modelDrop{q.id, why}] += n
}

// shed drops what is too much in queues that got something back.
func (m *model) shed() {
	for _, q := range m.queues {
		if q.regained {
			q.regained = false
			m.evict(q)
		}
	}
}

// evict drops heads while there are too many.
func (m *model) evict(q *modelQueue) {
	for q.spec.Settings.Overflow == DropHead && len(q.heads()) > 0 && q.over(0, 0) {
		m.discard(q, q.heads()[0], MaxLength)
	}
}

// leftovers removes what has to go once everything possible is delivered.
func (m *model) leftovers() {
	for _, q := range m.queues {
		if q.spec.Kind == Classic { // what is to go at once goes after what is too much
			m.expire(q, m.now-1)
			m.evict(q)
		}
		m.expire(q, m.now)
		m.evict(q)
		m.expire(q, m.now)
	}
}

// expire removes heads that have expired by then.
func (m *model) expire(q *modelQueue, by int64) {
	for again := true; again; {
		again = false
		for _, msg := range q.heads() {
			if msg.expiry != 0 && msg.expiry <= by {
				m.discard(q, msg, Expired)
				again = true
			}
		}
	}
}

// over says whether the queue is too full when so much is added.
func (q *modelQueue) over(messages, size int64) bool {
	n, _ := q.count(modelReady)
	_, flying := q.count(modelFlying)
	_, doomed := q.count(modelDoomed)
	all := int64(0)
	for _, msg := range q.messages {
		all += msg.size
	}
	s := &q.spec.Settings
	return s.MaxLength >= 0 && n+messages > s.MaxLength || s.MaxBytes >= 0 && all-flying-doomed+size > s.MaxBytes
}

// used says that a queue was used now.
func (m *model) used(q *modelQueue) {
	q.lease = 0
	if q.spec.Settings.Expires > 0 && len(q.consumers) == 0 {
		q.lease = m.now + q.spec.Settings.Expires.Milliseconds()
	}
}

func (m *model) delete(q *modelQueue) {
	for _, c := range q.consumers {
		m.cancelled = append(m.cancelled, c.id)
	}
	m.deleted = append(m.deleted, q.id)
	delete(m.queues, q.id)
}

// append adds a message if the queue takes it.
func (m *model) append(id ID, msg *Message) Outcome {
	q := m.queues[id]
	outcome := m.outcome(q, msg)
	if outcome != Accepted {
		return outcome
	}
	s := &q.spec.Settings
	level := min(msg.Priority, s.MaxPriority)
	if q.spec.Kind == Quorum {
		if level = 0; msg.Priority > 4 {
			level = 1
			q.younger[q.next[1]] = q.next[0]
		}
	}
	x := &modelMessage{ref: Ref{id, level, q.next[level]}, transient: msg.Transient}
	q.next[level]++
	if s.MaxBytes >= 0 {
		x.size = msg.Size
	}
	for _, ttl := range []int64{millis(msg.ExpiresAfter), millis(s.TTL)} {
		if at := max(m.now, unixMillis(msg.NotBefore)) + ttl; ttl >= 0 && (x.expiry == 0 || at < x.expiry) {
			x.expiry = at
		}
	}
	if at := unixMillis(msg.NotBefore); at > m.now {
		q.seq++
		x.state, x.notBefore, x.seq = modelDelayed, at, q.seq
	}
	if s.DedupWindow > 0 && msg.DedupID != "" {
		q.ids = append(q.ids, msg.DedupID)
		q.ids = q.ids[max(0, len(q.ids)-int(s.DedupWindow)):]
	}
	q.messages = append(q.messages, x)
	return Accepted
}

func (m *model) outcome(q *modelQueue, msg *Message) Outcome {
	switch {
	case q == nil:
		return Gone
	case q.spec.Settings.DedupWindow > 0 && msg.DedupID != "" && slices.Contains(q.ids, msg.DedupID):
		return Repeated
	case q.spec.Settings.Overflow == DropHead || !q.over(1, msg.Size):
		return Accepted
	case q.spec.Settings.Overflow == RejectPublishDeadLetter && q.spec.Settings.HasDeadLetter:
		return RejectedDeadLetter
	}
	return RejectedFull
}

// land ends flights as s says; it returns how many the channel does not hold.
func (m *model) land(s *Settle) (unknown int64) {
	for _, r := range s.Refs {
		q := m.queues[r.Queue]
		if q == nil {
			continue
		}
		for o := r.From; o < r.To; o++ {
			msg := q.find(Ref{r.Queue, r.Level, o})
			if msg == nil || msg.state != modelFlying || msg.channel != s.Channel {
				unknown++
				continue
			}
			switch s.Kind {
			case Acknowledge:
				m.settle(q, msg)
			case Reject:
				m.discard(q, msg, Rejected)
			case Release:
				m.release(q, msg, unixMillis(s.NotBefore), s.Uncounted, q.spec.Kind == Quorum && q.spec.Settings.DeliveryLimit < 0)
			}
		}
	}
	return unknown
}

func (m *model) release(q *modelQueue, msg *modelMessage, notBefore int64, uncounted, last bool) {
	if !uncounted {
		if limit := q.spec.Settings.DeliveryLimit; limit >= 0 && msg.count+1 > uint32(limit) {
			m.discard(q, msg, DeliveryLimit)
			return
		}
		msg.count++
	}
	q.seq++
	q.regained = q.spec.Kind == Classic
	msg.seq, msg.notBefore, msg.returned = q.seq, notBefore, true
	msg.behind = last && notBefore <= m.now
	switch {
	case msg.behind:
		msg.state, msg.ripe = modelReady, 0
		msg.after, msg.turn = q.next[msg.ref.Level]-1, q.seq
	case notBefore <= m.now:
		q.ripen(msg)
	default:
		msg.state = modelDelayed
	}
}

// holds returns how much of a consumer, a channel's consumers, a channel is in
// flight.
func (m *model) holds(match func(*modelMessage) bool) (n int) {
	for _, q := range m.queues {
		for _, msg := range q.messages {
			if msg.state == modelFlying && match(msg) {
				n++
			}
		}
	}
	return n
}

// may says whether a consumer may get a message now.
func (m *model) may(q *modelQueue, c *modelConsumer) bool {
	if !m.isOpen(c.channel) || q.spec.Settings.SingleActive && (q.active != c.id || m.fading(q)) {
		return false
	}
	return c.noAck || m.holds(func(x *modelMessage) bool { return x.consumer == c.id }) < c.limit
}

// isOpen says whether a channel may get a message now.
func (m *model) isOpen(ch *modelChannel) bool {
	held := func(x *modelMessage) bool { return x.channel == ch.id && x.consumer != 0 }
	return !ch.stopped && (ch.limit == 0 || m.holds(held) < ch.limit)
}

// first is the consumer that has the best claim to be active.
func (q *modelQueue) first() (best *modelConsumer) {
	for _, c := range q.consumers {
		if best == nil || c.priority > best.priority {
			best = c
		}
	}
	return best
}

func (q *modelQueue) consumer(id ConsumerID) *modelConsumer {
	for _, c := range q.consumers {
		if c.id == id {
			return c
		}
	}
	return nil
}

// fading says whether the active consumer is to be replaced.
func (m *model) fading(q *modelQueue) bool {
	a := q.consumer(q.active)
	return a != nil && q.spec.Kind == Quorum && q.first().priority > a.priority
}

// activate chooses active consumers.
func (m *model) activate() {
	for _, q := range m.queues {
		if !q.spec.Settings.SingleActive || len(q.consumers) == 0 {
			continue
		}
		idle := m.holds(func(x *modelMessage) bool { return x.consumer == q.active }) == 0
		if q.consumer(q.active) == nil || m.fading(q) && idle {
			q.active = q.first().id
		}
	}
}

// drain removes a channel's consumers.
func (m *model) drain(ch *modelChannel) {
	for _, id := range sortedKeys(m.queues) {
		q := m.queues[id]
		had := len(q.consumers)
		q.consumers = slices.DeleteFunc(q.consumers, func(c *modelConsumer) bool { return c.channel == ch })
		if len(q.consumers) < had {
			m.left(q)
		}
	}
}

// left says what becomes of a queue that a consumer has left.
func (m *model) left(q *modelQueue) {
	if len(q.consumers) > 0 {
		return
	}
	if q.spec.AutoDelete {
		m.delete(q)
		return
	}
	m.used(q)
}

// closeChannel releases what a channel holds, in the order in which it got it, or,
// for quorum queues, consumer by consumer.
func (m *model) closeChannel(ch *modelChannel) {
	type held struct {
		q   *modelQueue
		msg *modelMessage
	}
	var all []held
	for _, q := range m.queues {
		for _, msg := range q.messages {
			if msg.state == modelFlying && msg.channel == ch.id {
				all = append(all, held{q, msg})
			}
		}
	}
	line := func(x held) ConsumerID { // classic, then consumer by consumer, then what was got
		switch {
		case x.q.spec.Kind == Classic:
			return 0
		case x.msg.consumer == 0:
			return 1 << 60
		}
		return x.msg.consumer
	}
	slices.SortFunc(all, func(a, b held) int {
		return cmp.Or(cmp.Compare(line(a), line(b)), a.msg.order-b.msg.order)
	})
	for _, x := range all {
		m.release(x.q, x.msg, 0, false, false)
	}
	delete(m.channels, ch.id)
}

// due returns when something happens by itself, 0: never.
func (m *model) due() (at int64) {
	sooner := func(x int64) {
		if x > 0 && (at == 0 || x < at) {
			at = x
		}
	}
	for _, q := range m.queues {
		sooner(q.lease)
		for _, msg := range q.heads() {
			sooner(msg.expiry)
		}
		for _, msg := range q.messages {
			if msg.state == modelDelayed {
				sooner(msg.notBefore)
			}
			sooner(msg.paused)
			if msg.state == modelFlying {
				sooner(msg.until)
			}
		}
	}
	return at
}
